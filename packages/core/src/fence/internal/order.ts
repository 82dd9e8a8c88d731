import { atomicAdd } from '@dmabuf-emu/shm';
import { FenceStruct as F, SEQNO64, STATE } from './layout.ts';
import { isSignaled } from './poll.ts';
import type { FenceTable } from './table.ts';

/** The first of `count` fresh context numbers. @kernel dma_fence_context_alloc */
export function contextAlloc(t: FenceTable, count: number): number {
  if (count === 0) t.machine.diag.warn('fence-context', 'dma_fence_context_alloc(0)');
  return (atomicAdd(t.mem, t.contextAt, count) + 1) >>> 0;
}

/** Whether seqno `a` is later than `b` on the timeline of the fence at word `p`. @kernel __dma_fence_is_later */
export function isSeqnoLater(t: FenceTable, p: number, a: number, b: number): boolean {
  return (t.mem.i32[p + STATE]! & SEQNO64) !== 0 ? a > b : (((a | 0) - (b | 0)) | 0) > 0;
}

/** Whether the fence at `p1` is later than the one at `p2` of its context. @kernel dma_fence_is_later */
export function isLater(t: FenceTable, p1: number, p2: number): boolean {
  if (!sameContext(t, p1, p2, 'dma_fence_is_later')) return false;
  return isSeqnoLater(t, p1, F.seqno.get(t.mem, p1), F.seqno.get(t.mem, p2));
}

/** The later of two fences of a context, 0 when that one is signalled. @kernel dma_fence_later */
export function laterOf(t: FenceTable, ref1: number, ref2: number): number {
  const p1 = t.slab.at(ref1);
  const p2 = t.slab.at(ref2);
  if (!sameContext(t, p1, p2, 'dma_fence_later')) return 0;
  const first = isSeqnoLater(t, p1, F.seqno.get(t.mem, p1), F.seqno.get(t.mem, p2));
  const later = first ? ref1 : ref2;
  return isSignaled(t, later, first ? p1 : p2) ? 0 : later;
}

function sameContext(t: FenceTable, p1: number, p2: number, call: string): boolean {
  const c1 = F.context.get(t.mem, p1);
  const c2 = F.context.get(t.mem, p2);
  if (c1 === c2) return true;
  t.machine.diag.warn('fence-context', `${call}: contexts ${c1 >>> 0} and ${c2 >>> 0} cannot be compared`);
  return false;
}
