import { KernelError, kmemSlab, type Machine, withSpin } from '@dmabuf-emu/shm';
import { FdTableStruct as P, RESERVED } from '../fd-table-struct.ts';

/*
 * The entries of a descriptor table are one block: its size in entries, its own ref, then two words an entry: file ref
 * (0 free, RESERVED) and flags. The table refers to it by its word, so that a larger one takes its place by a single store.
 */
const SIZE = 1;
const REF = 2;
const FIRST = 3;
const ENTRY_WORDS = 2;

/** Makes a block of free entries and returns its word. @throws KernelError ENOMEM */
export function allocBlock(machine: Machine, size: number, site: string): number {
  const slab = kmemSlab(machine, FIRST - 1 + size * ENTRY_WORDS);
  const ref = slab.alloc(site);
  const block = slab.at(ref);
  machine.mem.i32[block + SIZE] = size;
  machine.mem.i32[block + REF] = ref;
  return block;
}

export function freeBlock(machine: Machine, block: number, site: string): void {
  const { i32 } = machine.mem;
  kmemSlab(machine, FIRST - 1 + i32[block + SIZE]! * ENTRY_WORDS).free(i32[block + REF]!, site);
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
  const size = Math.min(sizeOf(machine, p), P.limit.get(mem, p));
  for (let fd = least; fd < size; fd++) {
    const at = entryAt(machine, p, fd);
    if (mem.i32[at] !== 0) continue;
    mem.i32[at + 1] = flags;
    mem.i32[at] = file;
    P.open.set(mem, p, P.open.get(mem, p) + 1);
    return fd;
  }
  return -1;
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
    mem.i32.copyWithin(fresh + FIRST, block + FIRST, block + FIRST + now * ENTRY_WORDS);
    P.block.set(mem, p, fresh);
    return block;
  });
  freeBlock(machine, unused, 'alloc_fd');
}
