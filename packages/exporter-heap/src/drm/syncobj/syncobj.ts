import { fenceChainInit, fenceChainWalk, fenceGet, fencePrivateStub, fencePut } from '@dmabuf-emu/core';
import { type Machine, refDec, refInc } from '@dmabuf-emu/shm';
import { dropEventfds, submitToEventfds } from './eventfd-entries.ts';
import { FencePlace } from './fence-place.ts';
import { SyncobjStruct as S } from './syncobj-struct.ts';
import { submitToWaits } from './wait-entries.ts';

/** A place for a fence. A handle over the struct behind `ref`; references are counted. @kernel drm_syncobj */
export class Syncobj extends FencePlace {
  /** An empty one with one reference. @kernel drm_syncobj_create @throws KernelError ENOMEM */
  static create(machine: Machine): Syncobj {
    const syncobj = new Syncobj(machine, machine.slab(S).alloc('drm_syncobj_create'));
    S.refs.store(machine.mem, syncobj.p, 1);
    return syncobj;
  }

  static of(machine: Machine, ref: number): Syncobj {
    return new Syncobj(machine, ref);
  }

  /** Takes a reference; the caller must own one. @kernel drm_syncobj_get */
  get(): this {
    refInc(this.machine, this.p, S.refs);
    return this;
  }

  /** Drops a reference; with the last one the fence goes, and eventfds are not told any more. @kernel drm_syncobj_put, drm_syncobj_free */
  put(): void {
    const { machine } = this;
    if (!refDec(machine, this.p, S.refs)) return;
    this.replaceFence(0);
    dropEventfds(this);
    machine.slab(S).free(this.ref, 'drm_syncobj_free');
  }

  /** References held. */
  get refs(): number {
    return S.refs.load(this.machine.mem, this.p);
  }

  /** Puts a fence (0: none) in place of what is there, and tells who waits for one. Takes a reference of its own. @kernel drm_syncobj_replace_fence */
  replaceFence(fence: number): void {
    const { machine } = this;
    fenceGet(machine, fence);
    const before = this.withLock(() => {
      const old = S.fence.load(machine.mem, this.p);
      S.fence.store(machine.mem, this.p, fence);
      if (old !== fence) this.#submitted();
      return old;
    });
    fencePut(machine, before);
  }

  /** Puts a fence there that has always been signalled. @kernel drm_syncobj_assign_null_handle @throws KernelError ENOMEM */
  signal(): void {
    const { machine } = this;
    const fence = fencePrivateStub(machine, machine.clock.nowNs());
    this.replaceFence(fence);
    fencePut(machine, fence);
  }

  /**
   * Adds a point to the timeline. Takes over the node, and takes a reference to the fence of its own. Cannot fail.
   * @param node from `fenceChainAlloc`
   * @kernel drm_syncobj_add_point
   */
  addPoint(node: number, fence: number, point: number): void {
    const { machine } = this;
    fenceGet(machine, fence);
    let before = this.withLock(() => {
      const prev = S.fence.load(machine.mem, this.p);
      fenceChainInit(machine, node, fenceGet(machine, prev), fence, point);
      S.fence.store(machine.mem, this.p, node);
      this.#submitted();
      return prev;
    });
    // That reference was the object's. Points that have passed are dropped on the way.
    while (before !== 0) before = fenceChainWalk(machine, before);
  }

  #submitted(): void {
    submitToWaits(this);
    submitToEventfds(this);
  }
}
