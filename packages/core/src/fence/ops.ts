import { UsageError } from '@dmabuf-emu/shm';
import type { Fence } from './fence.ts';

/**
 * What an issuer of fences does. Operations run in the thread of whoever calls the core.
 * A driver with neither `wait` nor `release` is detached from its fences when they signal.
 * @kernel dma_fence_ops
 */
export interface FenceOps {
  /** Name that the driver is registered under. */
  readonly name: string;
  /** Never called after signalling. */
  getDriverName(fence: Fence): string;
  /** Never called after signalling. */
  getTimelineName(fence: Fence): string;
  /**
   * Somebody will wait: make sure that the fence gets signalled. Called at most once a fence, with the fence's lock held.
   * False: it has passed already, or cannot be enabled; the core then signals it. May set an error when it returns false.
   */
  enableSignaling?(fence: Fence): boolean;
  /** Polls the hardware: once true, always true; true makes the core signal. Must not sleep. */
  signaled?(fence: Fence): boolean;
  /**
   * Own way to wait; deprecated.
   * @returns what is left of the timeout in milliseconds, 0 when it passed.
   */
  wait?(fence: Fence, interruptible: boolean, timeoutMs: number): number;
  /** The last reference is gone: free what belongs to the fence. The core frees the fence itself when this returns. */
  release?(fence: Fence): void;
  /** Hint: somebody needs the fence by `deadlineNs` of the machine's clock; in the past means now. */
  setDeadline?(fence: Fence, deadlineNs: number): void;
  /** Its fences consist of other fences. @kernel dma_fence_is_container */
  readonly isContainer?: boolean;
}

/** Fence operations that can be registered. */
export type FenceDriver = FenceOps & { readonly kind: 'fence' };

/** Makes a fence driver of these operations. @throws UsageError without a name. */
export function defineFenceOps(ops: FenceOps): FenceDriver {
  return Object.freeze({ ...ops, name: checkedName('fence driver', ops.name), kind: 'fence' as const });
}

/** Drivers that every thread has: they are part of the core. */
export const builtinFenceDrivers: FenceDriver[] = [];

/** {@link defineFenceOps} for a driver that is part of the core. */
export function builtinFenceOps(ops: FenceOps): FenceDriver {
  const driver = defineFenceOps(ops);
  builtinFenceDrivers.push(driver);
  return driver;
}

export function checkedName(what: string, name: unknown): string {
  if (typeof name === 'string' && name !== '') return name;
  throw new UsageError(`a ${what} needs a name, got ${JSON.stringify(name)}`);
}
