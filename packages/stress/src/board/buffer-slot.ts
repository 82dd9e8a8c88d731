import { DmaBuf } from '@dmabuf-emu/core';
import { spinLock, spinUnlock, type Machine } from '@dmabuf-emu/shm';
import { BufferStruct } from './board-structs.ts';

const B = BufferStruct;

/** A place on the board where an exporter offers one buffer at a time. */
export class BufferSlot {
  readonly #machine: Machine;
  readonly #at: number;

  constructor(machine: Machine, at: number) {
    this.#machine = machine;
    this.#at = at;
  }

  /** Number of the dma-buf offered now or last; 0 before the first. */
  get generation(): number {
    return B.generation.load(this.#machine.mem, this.#at);
  }

  get offered(): boolean {
    return B.dmabuf.load(this.#machine.mem, this.#at) !== 0;
  }

  /** Offers a dma-buf; the board keeps the caller's reference until {@link withdraw}. */
  publish(dmabuf: DmaBuf): void {
    const { mem } = this.#machine;
    B.lost.store(mem, this.#at, 0);
    B.generation.add(mem, this.#at, 1);
    this.#gated(() => B.dmabuf.store(mem, this.#at, dmabuf.ref));
  }

  /** Takes the dma-buf off the board; its reference goes back to the caller. */
  withdraw(): void {
    this.#gated(() => B.dmabuf.store(this.#machine.mem, this.#at, 0));
  }

  /** The dma-buf on offer with a reference of the caller's own, or undefined when there is none now. */
  take(): { dmabuf: DmaBuf; generation: number } | undefined {
    const machine = this.#machine;
    return this.#gated(() => {
      const ref = B.dmabuf.load(machine.mem, this.#at);
      if (ref === 0) return undefined;
      return { dmabuf: DmaBuf.of(machine, ref).get(), generation: this.generation };
    });
  }

  /** Says that the buffer is of no use any more because a task died with its lock; the exporter replaces it. */
  reportLost(): void {
    B.lost.store(this.#machine.mem, this.#at, 1);
  }

  get isLost(): boolean {
    return B.lost.load(this.#machine.mem, this.#at) !== 0;
  }

  /** The gate's holder may die: whoever comes next takes it over, and all that it guards is one store or one count. */
  #gated<T>(fn: () => T): T {
    spinLock(this.#machine, this.#at + B.gate.at);
    try {
      return fn();
    } finally {
      spinUnlock(this.#machine, this.#at + B.gate.at);
    }
  }
}
