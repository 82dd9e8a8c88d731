import { i32, struct, wwmutex } from '@dmabuf-emu/shm';

/** A reservation object. @kernel dma_resv */
export const ResvStruct = struct('dma_resv', {
  lock: wwmutex('dma_resv'),
  /** Word of the published list, 0 for none. Writers hold the lock; readers check `version` around each use. */
  list: i32(),
  /** Counts the lists published. */
  version: i32(),
});

/*
 * A list is a kmem slot. Its entries are one word each, so that replacing one is one store: the fence's index in its slab,
 * and the usage above. The list holds a reference, so the index stands for one fence as long as the entry is there.
 */

/** Word offsets in a list: fences in it, room for, its own ref, words asked of kmem, first entry. */
export const NUM = 1;
export const MAX = 2;
export const SELF = 3;
export const SIZE = 4;
export const ENTRIES = 5;

export const USAGE_SHIFT = 24;
