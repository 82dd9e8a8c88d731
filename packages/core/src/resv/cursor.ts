import { atomicLoad, type Machine, syncPoint, TaskKilled } from '@dmabuf-emu/shm';
import { Fence } from '../fence/fence.ts';
import { isSignaled } from '../fence/internal/poll.ts';
import { putFence, tryGetFence } from '../fence/internal/refs.ts';
import { ENTRIES, NUM, ResvStruct as R } from './internal/layout.ts';
import { type ResvTable, resvTableOf, usageOf } from './internal/table.ts';
import type { ResvUsage } from './usage.ts';

/**
 * Walks the unsignalled fences of a reservation object without its lock. When its list is replaced meanwhile, the walk starts
 * again, and {@link isRestarted} is true for the first fence after that: forget what was gathered before.
 *
 * Holds a reference on the current fence until the next step; leave early with {@link end}, or by leaving a `for` loop.
 * @kernel dma_resv_iter, dma_resv_for_each_fence_unlocked
 */
export class ResvCursor implements Iterable<Fence> {
  readonly machine: Machine;
  readonly #t: ResvTable;
  readonly #p: number;
  readonly #usage: ResvUsage;
  #list = 0;
  #version = 0;
  #count = 0;
  #index = 0;
  #fence = 0;
  #currentUsage: ResvUsage = 0;
  #restarted = false;

  constructor(machine: Machine, resvRef: number, usage: ResvUsage) {
    this.machine = machine;
    this.#t = resvTableOf(machine);
    this.#p = this.#t.slab.at(resvRef);
    this.#usage = usage;
  }

  /** The current fence's class. @kernel dma_resv_iter_usage */
  get usage(): ResvUsage {
    return this.#currentUsage;
  }

  /** True for the first fence after the walk began or began again. @kernel dma_resv_iter_is_restarted */
  get isRestarted(): boolean {
    return this.#restarted;
  }

  /** Fences in the list when the walk began, of all classes: room for what is gathered. */
  get count(): number {
    return this.#count;
  }

  /** Ref of the first fence, 0 when there is none. @kernel dma_resv_iter_first_unlocked */
  first(): number {
    do {
      this.#restart();
      this.#walk();
    } while (this.#isStale());
    return this.#fence;
  }

  /** Ref of the next fence, 0 at the end. @kernel dma_resv_iter_next_unlocked */
  next(): number {
    let restart = this.#isStale();
    this.#restarted = false;
    do {
      if (restart) this.#restart();
      this.#walk();
      restart = true;
    } while (this.#isStale());
    return this.#fence;
  }

  /** Ends the walk before its end. @kernel dma_resv_iter_end */
  end(): void {
    if (this.#fence !== 0) putFence(this.#t.fences, this.#fence);
    this.#fence = 0;
  }

  /** Makes the next step start again, as a replaced list does; for tests. */
  forceRestart(): void {
    this.#version -= 1;
  }

  *[Symbol.iterator](): Generator<Fence, void, undefined> {
    try {
      for (let ref = this.first(); ref !== 0; ref = this.next()) yield Fence.of(this.machine, ref);
    } catch (error) {
      if (error instanceof TaskKilled) this.#fence = 0;
      throw error;
    } finally {
      this.end();
    }
  }

  #isStale(): boolean {
    return (atomicLoad(this.#t.mem, this.#p + R.version.at) | 0) !== (this.#version | 0);
  }

  /** @kernel dma_resv_iter_restart_unlocked */
  #restart(): void {
    const { mem } = this.#t;
    do {
      this.#version = atomicLoad(mem, this.#p + R.version.at);
      this.#list = atomicLoad(mem, this.#p + R.list.at);
      this.#count = this.#list === 0 ? 0 : atomicLoad(mem, this.#list + NUM);
    } while (this.#isStale());
    this.#index = 0;
    this.#restarted = true;
  }

  /** Goes to the next fence that counts; returns early when the list is found stale. @kernel dma_resv_iter_walk_unlocked */
  #walk(): void {
    const { mem, fences, endlessWalk } = this.#t;
    if (endlessWalk && this.#list === 0 && this.#fence !== 0) return;
    for (;;) {
      this.end();
      if (this.#index >= this.#count) return;
      const at = this.#list + ENTRIES + this.#index;
      const entry = atomicLoad(mem, at);
      syncPoint('resv.read', at);
      if (this.#isStale()) return;
      const ref = this.#t.fenceOf(entry);
      const p = tryGetFence(fences, ref);
      if (p === 0) {
        this.#restart();
        continue;
      }
      this.#fence = ref;
      if (this.#isStale()) return;
      // Replaced in place while the reference was taken: it may be another fence in the same memory.
      if (atomicLoad(mem, at) !== entry) continue;
      this.#index += 1;
      if (isSignaled(fences, ref, p)) continue;
      this.#currentUsage = usageOf(entry);
      if (this.#currentUsage <= this.#usage) return;
    }
  }
}
