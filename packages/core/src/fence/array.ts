import type { Machine } from '@dmabuf-emu/shm';
import { Fence } from './fence.ts';
import { arrayAt, createArray, type FenceArrayInit, isArray, memberAt, membersOf } from './internal/array.ts';
import { FenceStruct as F } from './internal/layout.ts';
import { contextAlloc } from './internal/order.ts';
import { tableOf } from './internal/table-of.ts';

/*
 * An array signals some time after its last member, never inside the member's signal: the kernel defers it to irq_work. Here
 * the thread that ends the last member ends the array as soon as it holds no fence's lock, that is after all callbacks of the
 * member and before its signal call returns, whatever other locks it holds. Who asks with `isSignaled` sees it at once.
 */

export type { FenceArrayInit };

/**
 * A fence of several fences. The references on the members become the array's; members that are arrays or chains, and an empty
 * list, are a WARN.
 * @returns a fence with one reference.
 * @throws KernelError ENOMEM; then the references stay the caller's.
 * @kernel dma_fence_array_create
 */
export function fenceArrayCreate(machine: Machine, members: readonly number[], init: FenceArrayInit = {}): number {
  const t = tableOf(machine);
  return createArray(t, members, init.context ?? contextAlloc(t, 1), init);
}

/** @kernel dma_fence_is_array */
export function fenceIsArray(machine: Machine, ref: number): boolean {
  const t = tableOf(machine);
  return ref !== 0 && isArray(t, t.slab.at(ref));
}

/** The first member, without a reference; a fence that is no array itself; 0 for null or an empty array. @kernel dma_fence_array_first */
export function fenceArrayFirst(machine: Machine, ref: number): number {
  return fenceIsArray(machine, ref) ? memberAt(tableOf(machine), ref, 0) : ref;
}

/** Member `index`, without a reference; 0 when it is past the end or the fence no array. @kernel dma_fence_array_next */
export function fenceArrayNext(machine: Machine, ref: number, index: number): number {
  return memberAt(tableOf(machine), ref, index);
}

/** Whether all that the fence consists of is of timeline `context`. @kernel dma_fence_match_context */
export function fenceMatchContext(machine: Machine, ref: number, context: number): boolean {
  const t = tableOf(machine);
  const p = t.slab.at(ref);
  const parts = isArray(t, p) ? membersOf(t, arrayAt(t, p)) : [ref];
  return parts.every((part) => F.context.get(t.mem, t.slab.at(part)) >>> 0 === context >>> 0);
}

/** A {@link Fence} that consists of others, which it holds. @kernel dma_fence_array */
export class FenceArray {
  readonly fence: Fence;

  private constructor(fence: Fence) {
    this.fence = fence;
  }

  /** See {@link fenceArrayCreate}: takes over the references on the members. @throws KernelError ENOMEM @kernel dma_fence_array_create */
  static create(machine: Machine, members: readonly Fence[], init: FenceArrayInit = {}): FenceArray {
    const refs = members.map((member) => member.ref);
    return new FenceArray(Fence.of(machine, fenceArrayCreate(machine, refs, init)));
  }

  /** The array that a fence is, undefined for any other fence. @kernel to_dma_fence_array */
  static of(fence: Fence): FenceArray | undefined {
    return fenceIsArray(fence.machine, fence.ref) ? new FenceArray(fence) : undefined;
  }

  get length(): number {
    return this.members().length;
  }

  /** Without references of their own. @kernel dma_fence_array_for_each */
  members(): Fence[] {
    const { machine, ref } = this.fence;
    const t = tableOf(machine);
    return membersOf(t, arrayAt(t, t.slab.at(ref))).map((member) => Fence.of(machine, member));
  }
}
