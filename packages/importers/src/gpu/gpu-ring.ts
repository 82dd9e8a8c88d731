import { Fence, fenceContextAlloc, type FenceDriver, type SignalRight } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import { gpuFence } from './gpu-fence.ts';

/** A GPU's command queue: its fences end in the order of their numbers. Belongs to the engine's thread. */
export class GpuRing {
  readonly machine: Machine;
  readonly context: number;
  readonly #ops: FenceDriver;
  #seqno = 0;

  constructor(machine: Machine, ops: FenceDriver) {
    this.machine = machine;
    this.context = fenceContextAlloc(machine);
    this.#ops = ops;
  }

  /** The right to signal the next fence. @throws KernelError ENOMEM */
  next(): SignalRight {
    const right = Fence.create(this.machine, { ops: this.#ops, context: this.context, seqno: this.#seqno + 1 });
    this.#seqno++;
    return right;
  }
}

/** Rings that a buffer object's jobs and page-table updates run on. */
export interface GpuRings {
  readonly jobs: GpuRing;
  readonly binds: GpuRing;
}

/** The rings of a GPU of the calling thread. */
export function ringsOf(machine: Machine, ops: FenceDriver = gpuFence): GpuRings {
  return { jobs: new GpuRing(machine, ops), binds: new GpuRing(machine, ops) };
}
