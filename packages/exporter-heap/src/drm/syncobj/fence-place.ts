import { fenceChainFindSeqno, fenceGetRcuSafe, fenceGetStub, fencePut } from '@dmabuf-emu/core';
import { isKernelError, type Machine, withSpin } from '@dmabuf-emu/shm';
import { SyncobjStruct as S } from './syncobj-struct.ts';

/** What is in a sync object, and its lock. A handle over the struct behind `ref`. */
export class FencePlace {
  readonly machine: Machine;
  readonly ref: number;
  /** Word of the struct. */
  readonly p: number;

  constructor(machine: Machine, ref: number) {
    this.machine = machine;
    this.ref = ref;
    this.p = machine.slab(S).at(ref);
  }

  /** The fence, with a reference; 0 for none. @kernel drm_syncobj_fence_get */
  getFence(): number {
    return fenceGetRcuSafe(this.machine, this.p + S.fence.at);
  }

  /**
   * What has to signal for a point of the timeline (0: for all of it), with a reference: the stub for one that has passed;
   * undefined for what has not been submitted.
   */
  findPoint(point: number): number | undefined {
    const { machine } = this;
    const fence = this.getFence();
    if (fence === 0) return undefined;
    try {
      return fenceChainFindSeqno(machine, fence, point) || fenceGetStub(machine);
    } catch (error) {
      if (!isKernelError(error, 'EINVAL')) throw error;
      fencePut(machine, fence);
      return undefined;
    }
  }

  withLock<T>(fn: () => T): T {
    return withSpin(this.machine, this.p + S.lock.at, fn);
  }
}
