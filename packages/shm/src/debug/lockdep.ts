import type { Machine } from '../machine/machine.ts';
import { heldAt, heldClass, heldCount } from '../sync/held.ts';

const CLASSES = 128;
const ROW = CLASSES / 32;

/**
 * Lock-order validation: learns "A was held while B was taken" for lock classes, machine-wide, and reports an order that
 * could deadlock the first time it is seen, even when it did not. Off, it costs one comparison a lock. @kernel lockdep
 */
export class Lockdep {
  readonly enabled: boolean;
  readonly #machine: Machine;
  readonly #edges: number;
  readonly #ids = new Map<string, number>();

  constructor(machine: Machine) {
    this.#machine = machine;
    this.enabled = machine.options.lockdep;
    this.#edges = this.enabled ? machine.root('lockdep.edges', CLASSES * ROW) : 0;
  }

  /** Machine-wide number of a lock class; 0 while validation is off. */
  classId(name: string): number {
    if (!this.enabled) return 0;
    let id = this.#ids.get(name);
    if (id === undefined) {
      id = this.#machine.arena.dense('lock-class', name, CLASSES - 1);
      this.#ids.set(name, id);
    }
    return id;
  }

  className(id: number): string {
    return id === 0 ? 'lock' : this.#machine.arena.denseName('lock-class', id, CLASSES - 1);
  }

  /**
   * Notes that the calling task takes the lock at `at` while it holds the locks of its record.
   * @param nested several locks of one class are in order (a ww context decides who waits).
   */
  acquire(lockClass: number, at: number, nested = false): void {
    const { i32 } = this.#machine.mem;
    const count = heldCount(this.#machine);
    for (let n = 0; n < count; n++) {
      const from = heldClass(this.#machine, n);
      if (from === 0 || heldAt(this.#machine, n) === at) continue;
      if (from === lockClass) {
        if (!nested)
          this.#report('nested-class', `${this.className(from)} is taken while another lock of that class is held`);
        continue;
      }
      const word = this.#edges + from * ROW + (lockClass >>> 5);
      const bit = 1 << (lockClass & 31);
      if ((i32[word]! & bit) !== 0) continue;
      const path = this.#path(lockClass, from, new Set());
      if (path !== undefined) {
        const chain = [...path, lockClass].map((id) => this.className(id)).join(' -> ');
        this.#report(
          'circular-order',
          `${this.className(lockClass)} is taken with ${this.className(from)} held, but elsewhere: ${chain}`,
        );
        continue;
      }
      Atomics.or(i32, word, bit);
    }
  }

  /** Pairs of classes seen in nested order, outer first. */
  order(): [outer: string, inner: string][] {
    const pairs: [string, string][] = [];
    for (let from = 1; from < CLASSES; from++) {
      for (let to = 1; to < CLASSES; to++)
        if (this.#has(from, to)) pairs.push([this.className(from), this.className(to)]);
    }
    return pairs;
  }

  #has(from: number, to: number): boolean {
    return (this.#machine.mem.i32[this.#edges + from * ROW + (to >>> 5)]! & (1 << (to & 31))) !== 0;
  }

  #path(from: number, to: number, seen: Set<number>): number[] | undefined {
    if (from === to) return [from];
    seen.add(from);
    for (let next = 1; next < CLASSES; next++) {
      if (seen.has(next) || !this.#has(from, next)) continue;
      const rest = this.#path(next, to, seen);
      if (rest !== undefined) return [from, ...rest];
    }
    return undefined;
  }

  #report(code: string, text: string): void {
    this.#machine.diag.once(`lockdep:${code}:${text}`, () => this.#machine.diag.lockdep(code, text));
  }
}
