import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { KernelError, type Machine, withSpin } from '@dmabuf-emu/shm';
import { DrmDeviceStruct as D } from '../device/device-struct.ts';
import type { DrmDevice } from '../device/device.ts';
import { GemStruct as G } from './gem-struct.ts';

/** Fake offsets begin where 32-bit file offsets end. In pages. @kernel DRM_FILE_PAGE_OFFSET_START, DRM_FILE_PAGE_OFFSET_SIZE */
const FIRST_PAGE = 0x10_0000;
const PAGES = 0xf_ffff * 256;

/**
 * Gives the object a range of fake offsets, by which a program maps it: the smallest gap that is large enough.
 * @kernel drm_gem_create_mmap_offset
 * @throws KernelError ENOSPC when there is none, or the object is empty
 */
export function addRange(device: DrmDevice, gem: number): void {
  const { machine } = device;
  const slab = machine.slab(G);
  const p = slab.at(gem);
  const pages = Math.ceil(G.size.get(machine.mem, p) / PAGE_SIZE);
  withVmaLock(device, () => {
    const gap = pages === 0 ? undefined : smallestGap(device, pages);
    if (gap === undefined) throw new KernelError('ENOSPC', 'drm_vma_offset_add', `no range of ${pages} pages is free`);
    const { mem } = machine;
    const nextAt = linkAfter(device, gap.after);
    G.nextRange.set(mem, p, mem.i32[nextAt]!);
    G.rangeStart.set(mem, p, gap.start);
    G.rangePages.set(mem, p, pages);
    mem.i32[nextAt] = gem;
  });
}

/** Takes the object's range back, if it has one. @kernel drm_gem_free_mmap_offset */
export function removeRange(device: DrmDevice, gem: number): void {
  const { machine } = device;
  const { mem } = machine;
  withVmaLock(device, () => {
    let before = 0;
    for (const object of ranges(device)) {
      if (object === gem) mem.i32[linkAfter(device, before)] = G.nextRange.get(mem, machine.slab(G).at(gem));
      before = object;
    }
    G.rangeStart.set(mem, machine.slab(G).at(gem), 0);
  });
}

/**
 * The object whose range starts at `page` and has `pages` or more; 0 for none. `use` sees it with the lock held.
 * @kernel drm_vma_offset_exact_lookup_locked
 */
export function findRange(device: DrmDevice, page: number, pages: number, use: (gem: number) => boolean): number {
  const { machine } = device;
  return withVmaLock(device, () => {
    for (const gem of ranges(device)) {
      const p = machine.slab(G).at(gem);
      if (G.rangeStart.get(machine.mem, p) !== page) continue;
      return pages <= G.rangePages.get(machine.mem, p) && use(gem) ? gem : 0;
    }
    return 0;
  });
}

/** The object's fake offset in bytes. @kernel drm_vma_node_offset_addr */
export function rangeOffset(machine: Machine, gem: number): number {
  return G.rangeStart.get(machine.mem, machine.slab(G).at(gem)) * PAGE_SIZE;
}

/** Objects in order of their offsets. @locks vmaLock held, or a quiet machine */
export function* ranges({ machine, p }: DrmDevice): Generator<number> {
  for (let gem = D.firstRange.get(machine.mem, p); gem !== 0;) {
    const next = G.nextRange.get(machine.mem, machine.slab(G).at(gem));
    yield gem;
    gem = next;
  }
}

/** @kernel drm_mm_insert_node_in_range, DRM_MM_INSERT_BEST */
function smallestGap(device: DrmDevice, pages: number): { start: number; after: number } | undefined {
  const { machine } = device;
  let best: { start: number; after: number; free: number } | undefined;
  let [start, after] = [FIRST_PAGE, 0];
  const look = (end: number): void => {
    const free = end - start;
    if (free >= pages && (best === undefined || free < best.free)) best = { start, after, free };
  };
  for (const gem of ranges(device)) {
    const p = machine.slab(G).at(gem);
    const at = G.rangeStart.get(machine.mem, p);
    look(at);
    start = at + G.rangePages.get(machine.mem, p);
    after = gem;
  }
  look(FIRST_PAGE + PAGES);
  return best;
}

/** Word of the link that follows an object, or of the list's head. */
function linkAfter({ machine, p }: DrmDevice, gem: number): number {
  return gem === 0 ? p + D.firstRange.at : machine.slab(G).at(gem) + G.nextRange.at;
}

function withVmaLock<T>({ machine, p }: DrmDevice, fn: () => T): T {
  return withSpin(machine, p + D.vmaLock.at, fn);
}
