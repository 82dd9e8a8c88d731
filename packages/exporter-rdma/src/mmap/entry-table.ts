import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { KernelError, orUndo, refDec, refIncNotZero } from '@dmabuf-emu/shm';
import type { RdmaCore } from '../device/rdma-core.ts';
import { RdmaStruct as R } from '../device/rdma-struct.ts';
import { SlabList } from '../internal/list.ts';
import { EntryStruct as E } from './entry-struct.ts';
import { entryKey, INDICES, type MmapCommand } from './page-offset.ts';

/** Part of a BAR, in pages. */
interface Span {
  readonly from: number;
  readonly pages: number;
}

/** The entries of a device, oldest first. @locks entriesLock held */
export function entries(core: RdmaCore): SlabList {
  const { machine, p } = core;
  return new SlabList(machine.mem, machine.slab(E), p, { first: R.first, last: R.last, next: E.next, prev: E.prev });
}

/**
 * Makes an entry over `pages` free pages of a BAR, with one reference. It takes as many indices as it has pages.
 * @kernel rdma_user_mmap_entry_insert_range
 * @locks takes entriesLock
 * @throws KernelError ENOMEM when the BAR or the command's indices are used up
 */
export function insertEntry(
  core: RdmaCore,
  command: MmapCommand,
  bar: { index: number; start: number; size: number },
  pages: number,
): number {
  const { machine } = core;
  const { mem } = machine;
  const slab = machine.slab(E);
  const ref = slab.alloc('rdma_user_mmap_entry_insert');
  const p = slab.at(ref);
  E.refs.store(mem, p, 1);
  E.device.set(mem, p, core.fn.index);
  E.bar.set(mem, p, bar.index);
  E.pages.set(mem, p, pages);
  orUndo(
    () =>
      core.entriesLock.with(() => {
        const barStart = bar.start / PAGE_SIZE;
        const from = firstFit(
          spans(core, (q) => ({ from: E.paddr.get(mem, q) / PAGE_SIZE - barStart, pages: E.pages.get(mem, q) })),
          pages,
          bar.size / PAGE_SIZE,
        );
        const index = firstFit(
          spans(core, (q) => ({ from: E.key.get(mem, q) - entryKey(command, 0), pages: E.pages.get(mem, q) })),
          pages,
          INDICES,
        );
        E.paddr.set(mem, p, bar.start + from * PAGE_SIZE);
        E.key.set(mem, p, entryKey(command, index));
        entries(core).append(ref);
      }),
    () => slab.free(ref, 'rdma_user_mmap_entry_insert'),
  );
  core.trace('rdma_entry_insert', E.key.get(mem, p));
  return ref;
}

/**
 * The entry with that key, with a reference; 0 when there is none or it was removed.
 * @kernel rdma_user_mmap_entry_get_pgoff
 * @locks takes entriesLock
 */
export function lookUpEntry(core: RdmaCore, key: number): number {
  const { machine } = core;
  const slab = machine.slab(E);
  return core.entriesLock.with(() => {
    for (const ref of entries(core).members()) {
      const p = slab.at(ref);
      if (E.key.get(machine.mem, p) !== key || E.driverRemoved.load(machine.mem, p) !== 0) continue;
      return refIncNotZero(machine, p, E.refs) ? ref : 0;
    }
    return 0;
  });
}

/** Takes a reference to an entry that may be gone; false then. @locks takes entriesLock */
export function tryGetEntry(core: RdmaCore, ref: number): boolean {
  return core.entriesLock.with(() => {
    const p = core.machine.slab(E).tryAt(ref);
    return p !== 0 && refIncNotZero(core.machine, p, E.refs);
  });
}

/**
 * Drops a reference; the last one gives the pages back. @kernel rdma_user_mmap_entry_put, mmap_free
 * @locks takes entriesLock
 */
export function putEntry(core: RdmaCore, ref: number): void {
  const { machine } = core;
  const slab = machine.slab(E);
  const p = slab.at(ref);
  if (!refDec(machine, p, E.refs)) return;
  core.trace('rdma_entry_free', E.key.get(machine.mem, p));
  core.entriesLock.with(() => entries(core).remove(ref));
  slab.free(ref, 'rdma_user_mmap_entry_free');
}

function spans(core: RdmaCore, of: (p: number) => Span): Span[] {
  const slab = core.machine.slab(E);
  return [...entries(core).members()].map((ref) => of(slab.at(ref)));
}

/** Lowest place for `pages` between the spans taken. @throws KernelError ENOMEM when none below `end` is free */
function firstFit(taken: readonly Span[], pages: number, end: number): number {
  let at = 0;
  for (const span of taken.toSorted((a, b) => a.from - b.from)) {
    if (at + pages <= span.from) break;
    at = Math.max(at, span.from + span.pages);
  }
  if (at + pages <= end) return at;
  throw new KernelError('ENOMEM', 'rdma_user_mmap_entry_insert', `no ${pages} pages are free of ${end}`);
}
