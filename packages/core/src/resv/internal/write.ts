import { atomicStore, KernelError, orUndo, syncPoint, TaskKilled } from '@dmabuf-emu/shm';
import { CAP_CONTAINER, FenceStruct as F } from '../../fence/internal/layout.ts';
import { isLater } from '../../fence/internal/order.ts';
import { isSignaled, looksPending } from '../../fence/internal/poll.ts';
import { getFence, putFence } from '../../fence/internal/refs.ts';
import type { ResvUsage } from '../usage.ts';
import { ENTRIES, MAX, NUM, ResvStruct as R } from './layout.ts';
import { allocList, freeListMemory, publishList } from './list.ts';
import { entryOf, type ResvTable, usageOf } from './table.ts';

const CONTEXT = F.context.at;
/** Least room that a list is made with. */
const LEAST = 4;

/*
 * What changes a reservation object; the caller holds its lock. `p` is its word.
 */

/**
 * Makes room for `count` fences to be added before the lock is dropped; signalled ones leave a list that is replaced.
 * @throws KernelError EINVAL after a WARN for 0; ENOMEM, with nothing changed.
 * @kernel dma_resv_reserve_fences
 */
export function reserve(t: ResvTable, p: number, count: number): void {
  if (!(count >= 1)) {
    t.machine.diag.warn('resv-reserve', `dma_resv_reserve_fences(${count})`);
    throw new KernelError('EINVAL', 'dma_resv_reserve_fences', `needs 1 or more, got ${count}`);
  }
  const { i32 } = t.mem;
  const old = R.list.get(t.mem, p);
  const num = old === 0 ? 0 : i32[old + NUM]!;
  const max = old === 0 ? 0 : i32[old + MAX]!;
  if (max !== 0 && num + count <= max) return;
  const wanted = max !== 0 ? Math.max(num + count, 2 * max) : Math.max(LEAST, roundUpPow2(count));
  moveList(t, p, old, allocList(t, wanted, 'dma_resv_reserve_fences'));
}

/** Publishes `list` with the unsignalled fences of `old` (0 for none), which goes. */
function moveList(t: ResvTable, p: number, old: number, list: number): void {
  const num = old === 0 ? 0 : t.mem.i32[old + NUM]!;
  const signalled = orUndo(
    () => keepUnsignalled(t, old, num, list),
    () => freeListMemory(t, list),
  );
  publishList(t, p, list);
  if (old !== 0) freeListMemory(t, old);
  for (const fence of signalled) putFence(t.fences, fence);
}

/** Copies the unsignalled entries of one list to another; returns the other fences. */
function keepUnsignalled(t: ResvTable, from: number, num: number, to: number): number[] {
  const { i32 } = t.mem;
  const signalled: number[] = [];
  let kept = 0;
  for (let i = 0; i < num; i++) {
    const entry = i32[from + ENTRIES + i]!;
    const fence = t.fenceOf(entry);
    if (isSignaled(t.fences, fence, t.fences.slab.at(fence))) signalled.push(fence);
    else i32[to + ENTRIES + kept++] = entry;
  }
  i32[to + NUM] = kept;
  return signalled;
}

/**
 * Adds a fence, in place of the first one that it supersedes or that is signalled. Takes a reference.
 * A list that is full, or that was never reserved, is a BUG.
 * @kernel dma_resv_add_fence
 */
export function add(t: ResvTable, p: number, fence: number, usage: ResvUsage): void {
  const { fences, machine } = t;
  const fp = fences.slab.at(fence);
  getFence(fences, fence);
  if ((fences.caps(fp) & CAP_CONTAINER) !== 0) {
    machine.diag.warn('resv-container', 'dma_resv_add_fence of a fence array or chain');
  }
  try {
    put(t, R.list.get(t.mem, p), fence, fp, usage);
  } catch (error) {
    if (!(error instanceof TaskKilled)) putFence(fences, fence);
    throw error;
  }
}

/** Stores a fence, whose reference goes to the list: in place of one of its context, not weaker, that it is later than or equals. */
function put(t: ResvTable, list: number, fence: number, fp: number, usage: ResvUsage): void {
  const { mem, fences, machine } = t;
  if (list === 0) machine.diag.bug('resv-unreserved', 'dma_resv_add_fence without any dma_resv_reserve_fences');
  const num = mem.i32[list + NUM]!;
  const context = mem.i32[fp + CONTEXT]!;
  for (let i = 0; i < num; i++) {
    const entry = mem.i32[list + ENTRIES + i]!;
    const op = t.placeOf(entry);
    const sameContext = mem.i32[op + CONTEXT] === context;
    if (!sameContext && looksPending(fences, op)) continue;
    const old = t.fenceOf(entry);
    const isSuperseded = sameContext && usageOf(entry) >= usage && (old === fence || isLater(fences, fp, op));
    if (!isSuperseded && !isSignaled(fences, old, op)) continue;
    syncPoint('resv.replace', list + ENTRIES + i);
    atomicStore(mem, list + ENTRIES + i, entryOf(fence, usage));
    putFence(fences, old);
    return;
  }
  if (num >= mem.i32[list + MAX]!) {
    machine.diag.bug('resv-full', `dma_resv_add_fence: all ${num} slots are taken, reserve more before adding`);
  }
  mem.i32[list + ENTRIES + num] = entryOf(fence, usage);
  syncPoint('resv.append', list + NUM);
  atomicStore(mem, list + NUM, num + 1);
}

/**
 * Puts `replacement` in place of every fence of `context`; it must not signal before the memory is safe from them.
 * @kernel dma_resv_replace_fences
 */
export function replace(t: ResvTable, p: number, context: number, replacement: number, usage: ResvUsage): void {
  const { mem, fences } = t;
  const list = R.list.get(mem, p);
  const num = list === 0 ? 0 : mem.i32[list + NUM]!;
  for (let i = 0; i < num; i++) {
    const old = t.fenceOf(mem.i32[list + ENTRIES + i]!);
    if (F.context.get(mem, fences.slab.at(old)) >>> 0 !== context >>> 0) continue;
    getFence(fences, replacement);
    syncPoint('resv.replace', list + ENTRIES + i);
    atomicStore(mem, list + ENTRIES + i, entryOf(replacement, usage));
    putFence(fences, old);
  }
}

/** Takes back the room that was reserved and not used, so that a missing reservation is noticed. @kernel dma_resv_reset_max_fences */
export function resetReservation(t: ResvTable, p: number): void {
  const list = R.list.get(t.mem, p);
  if (list !== 0) t.mem.i32[list + MAX] = t.mem.i32[list + NUM]!;
}

function roundUpPow2(n: number): number {
  return 2 ** Math.ceil(Math.log2(n));
}
