import { i32, kmemSlab, type Machine, ref, refcount, type Slab, struct } from '@dmabuf-emu/shm';

/** The descriptors of one emulated process. @kernel files_struct */
export const FdTableStruct = struct('files_struct', {
  lock: i32(),
  /** Tasks that share it. */
  users: refcount(),
  name: i32(),
  limit: i32(),
  /** Entries: two words each, file ref (0 free, {@link RESERVED}) and descriptor flags. */
  size: i32(),
  entries: ref(),
  open: i32(),
});

/** Entry that is taken but has no file yet. Never a valid ref: refs of live slots have an odd generation. */
export const RESERVED = 1;
export const FIRST_SIZE = 32;
const ENTRY_WORDS = 2;

/** The slab for the entries of a table of `size` descriptors. */
export function entriesSlab(machine: Machine, size: number): Slab {
  return kmemSlab(machine, size * ENTRY_WORDS);
}

/** Word of entry `fd` of the table at word `p`; its flags are the next word. The lock must be held. */
export function entryAt(machine: Machine, p: number, fd: number): number {
  const size = FdTableStruct.size.get(machine.mem, p);
  return entriesSlab(machine, size).at(FdTableStruct.entries.get(machine.mem, p)) + 1 + fd * ENTRY_WORDS;
}
