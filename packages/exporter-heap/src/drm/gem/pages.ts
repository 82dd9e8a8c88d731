import type { KernelMapping } from '@dmabuf-emu/core';
import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import type { Machine } from '@dmabuf-emu/shm';
import { type PageRun, pagePaddr, type Shmem, vmapPages, vunmapPages } from '../../memory/index.ts';
import type { GemObject } from './gem-object.ts';
import { GemStruct as G } from './gem-struct.ts';

/**
 * Makes every page of the object that is not there yet. They stay until the object goes. An imported object has none.
 * @kernel drm_gem_shmem_get_pages_locked @locks resv held @throws KernelError ENOMEM
 */
export function getPages(gem: GemObject): void {
  gem.resv.assertHeld('drm_gem_shmem_get_pages_locked');
  const { shmem } = gem;
  if (shmem === null) return;
  const count = shmem.size / PAGE_SIZE;
  for (let index = 0; index < count && shmem.pages < count; index++) shmem.page(index);
}

/** Keeps the pages in place for a device, until {@link unpinPages}. @kernel drm_gem_shmem_pin_locked @locks resv held @throws KernelError ENOMEM */
export function pinPages(gem: GemObject): void {
  getPages(gem);
  G.pins.set(gem.machine.mem, gem.p, G.pins.get(gem.machine.mem, gem.p) + 1);
}

/** @kernel drm_gem_shmem_unpin_locked @locks resv held */
export function unpinPages(gem: GemObject): void {
  gem.resv.assertHeld('drm_gem_shmem_unpin_locked');
  G.pins.set(gem.machine.mem, gem.p, G.pins.get(gem.machine.mem, gem.p) - 1);
}

/** Physical addresses of the object's pages, neighbours joined. The pages must be there. @kernel drm_prime_pages_to_sg */
export function pageRuns(machine: Machine, shmem: Shmem): PageRun[] {
  const runs: { paddr: number; len: number }[] = [];
  for (let index = 0; index < shmem.size / PAGE_SIZE; index++) {
    const paddr = pagePaddr(machine, shmem.page(index));
    const last = runs.at(-1);
    if (last !== undefined && last.paddr + last.len === paddr) last.len += PAGE_SIZE;
    else runs.push({ paddr, len: PAGE_SIZE });
  }
  return runs;
}

/** Maps the object into the kernel's address space, for as many users as there are. @kernel drm_gem_shmem_vmap_locked @locks resv held @throws KernelError ENOMEM */
export function vmapObject(gem: GemObject): KernelMapping {
  const { machine, p, shmem } = gem;
  const users = G.vmapCount.get(machine.mem, p);
  if (users === 0 && shmem !== null) {
    getPages(gem);
    G.vmapAddress.set(machine.mem, p, vmapPages(machine, pageRuns(machine, shmem)).address);
  }
  G.vmapCount.set(machine.mem, p, users + 1);
  return { address: G.vmapAddress.get(machine.mem, p), isIomem: false };
}

/** @kernel drm_gem_shmem_vunmap_locked @locks resv held */
export function vunmapObject(gem: GemObject): void {
  const { machine, p } = gem;
  const users = G.vmapCount.get(machine.mem, p);
  G.vmapCount.set(machine.mem, p, users - 1);
  if (users === 1) vunmapPages(machine, { address: G.vmapAddress.get(machine.mem, p), isIomem: false });
}
