import { IommuDomain, PciSystem } from '@dmabuf-emu/pci-iommu';
import type { Machine } from '@dmabuf-emu/shm';
import { ownedBy } from '../internal/owned-by.ts';
import { putOwnedBuffer } from '../internal/put-owned-buffer.ts';
import { unlessLost } from '../internal/unless-lost.ts';
import {
  AreaStruct as A,
  HwptStruct as D,
  IoasStruct as I,
  PagesStruct as P,
  TrackStruct as T,
  UserPagesStruct as U,
} from './iommufd-structs.ts';
import { IoptPages } from './iopt-pages.ts';
import { UserPages } from './user-pages.ts';

const SITE = 'reap';

/** Takes apart what a dead task left of its address spaces. Its attachments are gone by then, so no callback can come. */
export function reapIommufd(machine: Machine, task: number): void {
  const { mem } = machine;
  for (const ref of ownedBy(machine, P, task)) new IoptPages(machine, ref).reap();
  unmapUserAreas(machine, task);
  for (const ref of ownedBy(machine, T, task)) machine.slab(T).free(ref, SITE);
  for (const ref of ownedBy(machine, A, task)) {
    const p = machine.slab(A).at(ref);
    const allocator = A.allocator.get(mem, p);
    if (allocator !== 0)
      unlessLost(() => domainOf(machine, allocator).iovaFree(A.iova.get(mem, p), A.length.get(mem, p)));
    machine.slab(A).free(ref, SITE);
  }
  for (const ref of ownedBy(machine, P, task)) {
    const dmabuf = P.dmabuf.get(mem, machine.slab(P).at(ref));
    machine.slab(P).free(ref, SITE);
    putOwnedBuffer(machine, dmabuf);
  }
  for (const ref of ownedBy(machine, U, task)) new UserPages(machine, ref).put();
  for (const struct of [D, I]) for (const ref of ownedBy(machine, struct, task)) machine.slab(struct).free(ref, SITE);
}

function domainOf(machine: Machine, ref: number): IommuDomain {
  return new IommuDomain(machine, PciSystem.of(machine).memory.map, ref);
}

/** Takes program memory out of every domain before it is given back: a domain may outlive the task. */
function unmapUserAreas(machine: Machine, task: number): void {
  const { mem } = machine;
  const hwpts = ownedBy(machine, D, task).map((ref) => machine.slab(D).at(ref));
  for (const ref of ownedBy(machine, A, task)) {
    const a = machine.slab(A).at(ref);
    if (A.user.get(mem, a) === 0) continue;
    for (const d of hwpts) {
      if (D.ioas.get(mem, d) !== A.ioas.get(mem, a)) continue;
      unlessLost(() => domainOf(machine, D.domain.get(mem, d)).unmap(A.iova.get(mem, a), A.length.get(mem, a)));
    }
  }
}
