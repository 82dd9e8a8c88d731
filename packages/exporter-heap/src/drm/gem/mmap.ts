import type { VmArea, VmOps } from '@dmabuf-emu/core';
import { KernelError } from '@dmabuf-emu/shm';
import type { OpenFile } from '../device/open-file.ts';
import { GemObject } from './gem-object.ts';
import { putAfter } from './lookup.ts';
import { getPages } from './pages.ts';
import { findRange } from './vma-range.ts';

/**
 * mmap(2) on a DRM file: the offset is one that MODE_MAP_DUMB gave for an object that the file has a handle of.
 * @kernel drm_gem_mmap
 * @throws KernelError EINVAL (no object there, longer than it, private), EACCES (no handle), ENOMEM
 */
export function mmapByOffset(file: OpenFile, area: VmArea): void {
  const { machine, device } = file;
  const ref = findRange(device, area.pageOffset, area.pages, (gem) => GemObject.of(machine, gem).tryGet());
  if (ref === 0) {
    throw new KernelError('EINVAL', 'drm_gem_mmap', `no object of ${area.pages} pages is at page ${area.pageOffset}`);
  }
  const gem = GemObject.of(machine, ref);
  putAfter(gem, () => {
    if (!file.objects.entries().some(([, value]) => value === ref)) {
      throw new KernelError('EACCES', 'drm_gem_mmap', 'this file has no handle of the object');
    }
    mmapObject(gem, area, 0);
  });
}

/**
 * Puts the object behind an area, from page `first` on. The area holds a reference.
 * @kernel drm_gem_shmem_mmap
 * @locks takes resv
 * @throws KernelError EINVAL (private), ENOMEM; for an import what its exporter throws
 */
export function mmapObject(gem: GemObject, area: VmArea, first: number): void {
  const { imported } = gem;
  if (imported !== null) return imported.mmapInto(area, first);
  if (!area.shared) throw new KernelError('EINVAL', 'drm_gem_shmem_mmap', 'a private mapping cannot be made');
  gem.resv.with(() => getPages(gem));
  gem.get();
  area.priv = gem.ref;
  area.ops = vmOps(gem, first);
}

/** @kernel drm_gem_shmem_vm_ops */
function vmOps(gem: GemObject, first: number): VmOps {
  const { shmem } = gem;
  return { flags: ['pf', 'de', 'dd'], fault: (_area, page) => shmem!.fault(first + page), close: () => gem.put() };
}
