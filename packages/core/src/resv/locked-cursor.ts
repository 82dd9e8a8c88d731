import { KernelError, type Machine, type WwMutex, wwMutexOf } from '@dmabuf-emu/shm';
import { Fence } from '../fence/fence.ts';
import { ENTRIES, NUM, ResvStruct as R } from './internal/layout.ts';
import { type ResvTable, resvTableOf, usageOf } from './internal/table.ts';
import type { ResvUsage } from './usage.ts';

/**
 * Walks the fences of a class and stronger, signalled ones too, in slot order. The lock is held from the first step to the
 * last; fences come without references of their own. @kernel dma_resv_iter, dma_resv_for_each_fence
 */
export class ResvLockedCursor implements Iterable<Fence> {
  readonly machine: Machine;
  readonly #t: ResvTable;
  readonly #p: number;
  readonly #lock: WwMutex;
  readonly #usage: ResvUsage;
  #index = 0;
  #currentUsage: ResvUsage = 0;
  #restarted = false;

  constructor(machine: Machine, resvRef: number, usage: ResvUsage) {
    this.machine = machine;
    this.#t = resvTableOf(machine);
    this.#p = this.#t.slab.at(resvRef);
    this.#lock = wwMutexOf(machine, this.#p, R.lock);
    this.#usage = usage;
  }

  /** The current fence's class. @kernel dma_resv_iter_usage */
  get usage(): ResvUsage {
    return this.#currentUsage;
  }

  /** True for the first fence. @kernel dma_resv_iter_is_restarted */
  get isRestarted(): boolean {
    return this.#restarted;
  }

  /** Ref of the first fence, 0 when there is none. @locks held @kernel dma_resv_iter_first */
  first(): number {
    this.#index = 0;
    const ref = this.#step('dma_resv_iter_first');
    this.#restarted = true;
    return ref;
  }

  /** Ref of the next fence, 0 at the end. @locks held @kernel dma_resv_iter_next */
  next(): number {
    this.#restarted = false;
    return this.#step('dma_resv_iter_next');
  }

  *[Symbol.iterator](): Generator<Fence, void, undefined> {
    for (let ref = this.first(); ref !== 0; ref = this.next()) yield Fence.of(this.machine, ref);
  }

  #step(call: string): number {
    if (!this.#lock.heldByMe) {
      this.#lock.assertHeld(call);
      throw new KernelError('EINVAL', call, 'the reservation object is not locked by the calling task');
    }
    const { i32 } = this.#t.mem;
    const list = R.list.get(this.#t.mem, this.#p);
    for (const num = list === 0 ? 0 : i32[list + NUM]!; this.#index < num;) {
      const entry = i32[list + ENTRIES + this.#index++]!;
      this.#currentUsage = usageOf(entry);
      if (this.#currentUsage <= this.#usage) return this.#t.fenceOf(entry);
    }
    return 0;
  }
}
