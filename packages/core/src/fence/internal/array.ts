import { kmemSlab, type Mem, orUndo } from '@dmabuf-emu/shm';
import { CORE_QUIRKS } from '../../quirks.ts';
import { FenceArrayStruct as A, PENDING_ERROR } from './container-layout.ts';
import { create } from './create.ts';
import { CAP_CONTAINER, CallbackStruct as C, FenceStruct as F, OPS_MASK } from './layout.ts';
import type { FenceTable } from './table.ts';

const SITE = 'dma_fence_array_alloc';

/** What an array is beside its members. */
export interface FenceArrayInit {
  /** A fresh timeline by default. */
  readonly context?: number;
  /** 32 bit; 1 by default. */
  readonly seqno?: number;
  /** Signal with the first member instead of with the last. Kernels after 7.1 do not know it. */
  readonly signalOnAny?: boolean;
}

/**
 * An array with one reference. The references on the members become the array's.
 * @throws KernelError ENOMEM; then they stay the caller's.
 * @kernel dma_fence_array_create, dma_fence_array_init
 */
export function createArray(t: FenceTable, members: readonly number[], context: number, init: FenceArrayInit): number {
  const { mem } = t;
  const { arrays, array: ops } = t.containers;
  const slot = arrays.alloc(SITE);
  const a = arrays.at(slot);
  const base = orUndo(
    () => {
      allocVector(t, a, members.length);
      return create(t, { ops, context, seqno: init.seqno ?? 1, priv: slot }, SITE);
    },
    () => freeArray(t, slot),
  );
  A.base.set(mem, a, base);
  const any = init.signalOnAny === true && !CORE_QUIRKS.has(t.machine, 'fence.arrayNeedsAll');
  A.needed.set(mem, a, any ? 1 : members.length);
  A.pending.set(mem, a, A.needed.get(mem, a));
  A.error.set(mem, a, PENDING_ERROR);
  const vector = vectorAt(t, a);
  for (let i = 0; i < members.length; i++) {
    mem.i32[vector + i] = members[i]!;
    C.arg.set(mem, t.callbacks.at(callbackOf(mem, a, vector, i)), base);
  }
  checkMembers(t, members);
  return base;
}

/** Reports what an array should not consist of; from the last member to the first, as the kernel does. */
function checkMembers(t: FenceTable, members: readonly number[]): void {
  const { diag } = t.machine;
  if (members.length === 0) diag.warn('fence-array', 'dma_fence_array_init without fences: it will never signal');
  for (const member of members.toReversed()) {
    if ((t.caps(t.slab.at(member)) & CAP_CONTAINER) !== 0)
      diag.warn('fence-array', 'dma_fence_array_init: a member is a fence array or chain');
  }
}

/** Allocates the vector of the array at word `a`, and a callback for each member. @throws KernelError ENOMEM @kernel dma_fence_array_alloc, dma_fence_array_cb */
function allocVector(t: FenceTable, a: number, count: number): void {
  const { mem } = t;
  A.count.set(mem, a, count);
  A.vector.set(mem, a, kmemSlab(t.machine, 2 * count).alloc(SITE));
  const vector = vectorAt(t, a);
  for (let i = 0; i < count; i++) {
    const cb = t.callbacks.alloc(SITE);
    C.func.set(mem, t.callbacks.at(cb), t.containers.arrayFunc);
    mem.i32[vector + count + i] = cb;
  }
}

/** Frees an array's own memory, also when it was allocated in part. */
export function freeArray(t: FenceTable, slot: number): void {
  const { mem } = t;
  const a = t.containers.arrays.at(slot);
  const count = A.count.get(mem, a);
  const ref = A.vector.get(mem, a);
  // Whoever meets the struct after the task died in here must not look for what is freed below.
  A.base.set(mem, a, 0);
  if (ref !== 0) {
    const vector = vectorAt(t, a);
    for (let i = 0; i < count; i++) {
      const cb = callbackOf(mem, a, vector, i);
      if (cb !== 0) t.callbacks.free(cb, SITE);
    }
    kmemSlab(t.machine, 2 * count).free(ref, SITE);
  }
  t.containers.arrays.free(slot, SITE);
}

/** Whether the fence at word `p` is an array. @kernel dma_fence_is_array */
export function isArray(t: FenceTable, p: number): boolean {
  return (t.mem.i32[p]! & OPS_MASK) === t.containers.arrayId;
}

/** Word of the array struct of the array at word `p`. */
export function arrayAt(t: FenceTable, p: number): number {
  return t.containers.arrays.at(F.priv.get(t.mem, p));
}

/** Word of the first member of the array struct at word `a`. */
export function vectorAt(t: FenceTable, a: number): number {
  return kmemSlab(t.machine, 2 * A.count.get(t.mem, a)).at(A.vector.get(t.mem, a)) + 1;
}

export function callbackOf(mem: Mem, a: number, vector: number, index: number): number {
  return mem.i32[vector + A.count.get(mem, a) + index]!;
}

/** Members of the array struct at word `a`, without references. */
export function membersOf(t: FenceTable, a: number): number[] {
  const vector = vectorAt(t, a);
  return Array.from({ length: A.count.get(t.mem, a) }, (_, i) => t.mem.i32[vector + i]!);
}

/** Callbacks of the array struct at word `a`. */
export function callbacksOf(t: FenceTable, a: number): number[] {
  const vector = vectorAt(t, a);
  return Array.from({ length: A.count.get(t.mem, a) }, (_, i) => callbackOf(t.mem, a, vector, i));
}

/** Member `index` of the fence `ref`, 0 when it is past the end or the fence no array. @kernel dma_fence_array_next */
export function memberAt(t: FenceTable, ref: number, index: number): number {
  const p = ref === 0 ? 0 : t.slab.at(ref);
  if (p === 0 || !isArray(t, p)) return 0;
  const a = arrayAt(t, p);
  return index < A.count.get(t.mem, a) ? t.mem.i32[vectorAt(t, a) + index]! : 0;
}
