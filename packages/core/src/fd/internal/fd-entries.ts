import { KernelError, kmemSlab, type Machine, withSpin } from '@dmabuf-emu/shm';
import { FdTableStruct as P, RESERVED } from '../fd-table-struct.ts';
import { bitMapWords, copyBitMap, lowestUnmarked, mark, unmark } from './bit-map.ts';

/*
 * The entries of a descriptor table are one block: its size in entries, its own ref, then two words an entry: file ref
 * (0 free, RESERVED) and flags; then the map of entries in use. The table refers to it by its word, so that a larger one takes
 * its place by a single store.
 */
const SIZE = 1;
const REF = 2;
const FIRST = 3;
const ENTRY_WORDS = 2;

const blockWords = (size: number): number => FIRST - 1 + size * ENTRY_WORDS + bitMapWords(size);

/** Makes a block of free entries and returns its word. @throws KernelError ENOMEM */
export function allocBlock(machine: Machine, size: number, site: string): number {
  const slab = kmemSlab(machine, blockWords(size));
  const ref = slab.alloc(site);
  const block = slab.at(ref);
  machine.mem.i32[block + SIZE] = size;
  machine.mem.i32[block + REF] = ref;
  return block;
}

export function freeBlock(machine: Machine, block: number, site: string): void {
  const { i32 } = machine.mem;
  kmemSlab(machine, blockWords(i32[block + SIZE]!)).free(i32[block + REF]!, site);
}

/** How many entries the table at word `p` has room for. */
export function sizeOf(machine: Machine, p: number): number {
  return machine.mem.i32[P.block.get(machine.mem, p) + SIZE]!;
}

/** Word of entry `fd`, which must exist. The table's lock must be held. */
export function entryAt(machine: Machine, p: number, fd: number): number {
  return P.block.get(machine.mem, p) + FIRST + fd * ENTRY_WORDS;
}

/** File behind `fd`; 0 for none or a reserved one. The table's lock must be held. */
export function peekEntry(machine: Machine, p: number, fd: number): number {
  if (!(Number.isInteger(fd) && fd >= 0 && fd < sizeOf(machine, p))) return 0;
  const file = machine.mem.i32[entryAt(machine, p, fd)]!;
  return file === RESERVED ? 0 : file;
}

/** Changes a taken entry; file 0 frees it. The table's lock must be held. */
export function setEntry(machine: Machine, p: number, fd: number, file: number): void {
  const { mem } = machine;
  if (file === 0) {
    if (fd < P.next.get(mem, p)) P.next.set(mem, p, fd);
    unmark(mem.i32, mapAt(machine, p), sizeOf(machine, p), fd);
  }
  mem.i32[entryAt(machine, p, fd)] = file;
  if (file === 0) P.open.set(mem, p, P.open.get(mem, p) - 1);
}

/** Gives a reserved entry a file, or (0) frees it; false when it is not reserved. The table's lock must be held. */
export function settleEntry(machine: Machine, p: number, fd: number, file: number): boolean {
  if (!(Number.isInteger(fd) && fd >= 0 && fd < sizeOf(machine, p))) return false;
  if (machine.mem.i32[entryAt(machine, p, fd)] !== RESERVED) return false;
  setEntry(machine, p, fd, file);
  return true;
}

/** Takes the lowest free entry from `least` on; -1 when there is none below the table's size and limit. The table's lock must be held. */
export function takeEntry(machine: Machine, p: number, file: number, least: number, flags: number): number {
  const { mem } = machine;
  const size = sizeOf(machine, p);
  const map = mapAt(machine, p);
  const next = P.next.get(mem, p);
  for (let from = Math.max(least, next); ;) {
    const fd = lowestUnmarked(mem.i32, map, size, from);
    if (fd >= Math.min(size, P.limit.get(mem, p))) return -1;
    const at = entryAt(machine, p, fd);
    const free = mem.i32[at] === 0;
    if (free) {
      mem.i32[at + 1] = flags;
      mem.i32[at] = file;
      P.open.set(mem, p, P.open.get(mem, p) + 1);
    }
    mark(mem.i32, map, size, fd);
    if (least <= next) P.next.set(mem, p, fd + 1);
    if (free) return fd;
    from = fd + 1;
  }
}

/** Word of the map of entries in use. */
function mapAt(machine: Machine, p: number): number {
  return P.block.get(machine.mem, p) + FIRST + sizeOf(machine, p) * ENTRY_WORDS;
}

/** Doubles the table, or more when entry `least` is asked for. @throws KernelError EMFILE at the limit, ENOMEM; nothing is changed then. */
export function growTable(machine: Machine, p: number, least: number): void {
  const { mem } = machine;
  const limit = P.limit.get(mem, p);
  const lock = p + P.lock.at;
  const old = withSpin(machine, lock, () => sizeOf(machine, p));
  if (old >= limit || least >= limit) {
    const name = machine.string(P.name.get(mem, p));
    throw new KernelError('EMFILE', 'alloc_fd', `process '${name}' has reached its limit of ${limit} descriptors`);
  }
  const size = Math.min(limit, Math.max(old * 2, least + 1));
  const fresh = allocBlock(machine, size, 'alloc_fd');
  const unused = withSpin(machine, lock, () => {
    const block = P.block.get(mem, p);
    const now = sizeOf(machine, p);
    if (now >= size) return fresh;
    const end = block + FIRST + now * ENTRY_WORDS;
    mem.i32.copyWithin(fresh + FIRST, block + FIRST, end);
    copyBitMap(mem.i32, end, now, fresh + FIRST + size * ENTRY_WORDS, size);
    P.block.set(mem, p, fresh);
    return block;
  });
  freeBlock(machine, unused, 'alloc_fd');
}
