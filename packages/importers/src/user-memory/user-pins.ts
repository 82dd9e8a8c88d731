import { PAGE_SIZE, PciSystem } from '@dmabuf-emu/pci-iommu';
import { KernelError, type Machine, orUndo } from '@dmabuf-emu/shm';
import { ownedBy } from '../internal/owned-by.ts';
import { AreaKind, UserAreaStruct as A, UserPinStruct as P } from './user-memory-structs.ts';

/** A piece of pinned memory. */
export interface PinnedRun {
  readonly paddr: number;
  readonly bytes: number;
}

/**
 * Keeps the pages of a range of the calling task's memory where they are, and tells where that is.
 * @param pfnmap - memory without struct page will do: VFIO takes it, iommufd does not
 * @returns the first of a chain of pins, for {@link pinnedRuns} and {@link unpinUser}
 * @kernel pin_user_pages, vaddr_get_pfns
 * @throws KernelError EFAULT where nothing, or nothing that may be pinned, is mapped; ENOMEM. Nothing is pinned then
 */
export function pinUser(machine: Machine, vaddr: number, bytes: number, pfnmap: boolean): number {
  const { mem } = machine;
  const slab = machine.slab(P);
  let first = 0;
  let last = 0;
  return orUndo(
    () => {
      for (let done = 0; done < bytes;) {
        const found = areaAt(machine, vaddr + done, pfnmap);
        const at = vaddr + done - A.vaddr.get(mem, found.p);
        const count = Math.min(bytes - done, A.bytes.get(mem, found.p) - at);
        const pin = slab.alloc('user_pin');
        const p = slab.at(pin);
        P.task.set(mem, p, machine.tid);
        P.area.set(mem, p, found.ref);
        P.paddr.set(mem, p, A.paddr.get(mem, found.p) + at);
        P.bytes.set(mem, p, count);
        A.pins.add(mem, found.p, 1);
        if (first === 0) first = pin;
        else P.next.set(mem, slab.at(last), pin);
        last = pin;
        done += count;
      }
      return first;
    },
    () => unpinUser(machine, first),
  );
}

/** Where pinned memory is; neighbours that touch are one. */
export function pinnedRuns(machine: Machine, first: number): PinnedRun[] {
  const { mem } = machine;
  const runs: { paddr: number; bytes: number }[] = [];
  for (let pin = first; pin !== 0;) {
    const p = machine.slab(P).at(pin);
    const [paddr, bytes] = [P.paddr.get(mem, p), P.bytes.get(mem, p)];
    const before = runs.at(-1);
    if (before !== undefined && before.paddr + before.bytes === paddr) before.bytes += bytes;
    else runs.push({ paddr, bytes });
    pin = P.next.get(mem, p);
  }
  return runs;
}

/** Lets go of pinned memory: what its program has unmapped meanwhile is given back. @kernel unpin_user_pages */
export function unpinUser(machine: Machine, first: number): void {
  const { mem } = machine;
  const slab = machine.slab(P);
  for (let pin = first; pin !== 0;) {
    const p = slab.at(pin);
    const [area, next] = [P.area.get(mem, p), P.next.get(mem, p)];
    slab.free(pin, 'user_pin');
    unpinArea(machine, area);
    pin = next;
  }
}

/** One pin of an area less. */
export function unpinArea(machine: Machine, area: number): void {
  const a = machine.slab(A).at(area);
  if (A.pins.add(machine.mem, a, -1) === 1 && A.gone.load(machine.mem, a) !== 0) freeArea(machine, area);
}

/** Gives an area that is mapped and pinned by nobody back, once. */
export function freeArea(machine: Machine, area: number): void {
  const { mem } = machine;
  const a = machine.slab(A).at(area);
  if (A.gone.cas(mem, a, 1, 2) !== 1) return;
  if (A.kind.get(mem, a) === AreaKind.ANONYMOUS) {
    PciSystem.of(machine).memory.freePages(A.paddr.get(mem, a), A.bytes.get(mem, a) / PAGE_SIZE);
  }
  machine.slab(A).free(area, 'user_area');
}

/** Areas that the calling task has mapped. */
export function areasOf(machine: Machine, task: number): { ref: number; p: number }[] {
  return ownedBy(machine, A, task)
    .map((ref) => ({ ref, p: machine.slab(A).at(ref) }))
    .filter(({ p }) => A.gone.load(machine.mem, p) === 0);
}

function areaAt(machine: Machine, vaddr: number, pfnmap: boolean): { ref: number; p: number } {
  const { mem } = machine;
  const found = areasOf(machine, machine.tid).find(({ p }) => {
    const start = A.vaddr.get(mem, p);
    return vaddr >= start && vaddr < start + A.bytes.get(mem, p);
  });
  if (found === undefined) throw fault(vaddr, 'nothing is mapped');
  if (!pfnmap && A.kind.get(mem, found.p) === AreaKind.PFNMAP)
    throw fault(vaddr, 'memory of a device has no pages to pin');
  return found;
}

function fault(vaddr: number, what: string): KernelError {
  return new KernelError('EFAULT', 'pin_user_pages', `0x${vaddr.toString(16)}: ${what}`);
}
