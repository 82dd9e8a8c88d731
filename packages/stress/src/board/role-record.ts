import { errnoName, type Machine } from '@dmabuf-emu/shm';
import { COUNTER_NAMES, MAX_REFUSALS, RoleStruct, type CounterName } from './board-structs.ts';
import { LogHistogram } from './log-histogram.ts';

const R = RoleStruct;

export const ROLE_IDLE = 0;
export const ROLE_READY = 1;
export const ROLE_RUNNING = 2;
export const ROLE_ENDED = 3;

const even = (at: number): number => at + (at & 1);

/** One kind of refusal: an exporter said no to an importer. */
export interface Refusal {
  readonly exporter: string;
  readonly errno: string;
  /** Kernel function that refused. */
  readonly step: string;
  readonly count: number;
}

/** A role's part of the board. */
export class RoleRecord {
  readonly #machine: Machine;
  readonly #at: number;
  readonly revokeNs: LogHistogram;
  readonly mapNs: LogHistogram;
  readonly fenceWakeNs: LogHistogram;

  constructor(machine: Machine, at: number) {
    this.#machine = machine;
    this.#at = at;
    this.revokeNs = new LogHistogram(machine.mem, even(at + R.revokeNs.at));
    this.mapNs = new LogHistogram(machine.mem, even(at + R.mapNs.at));
    this.fenceWakeNs = new LogHistogram(machine.mem, even(at + R.fenceWakeNs.at));
  }

  /** Called by the thread that takes the role over, a replacement included. */
  start(): void {
    const { mem, tid } = this.#machine;
    R.tid.store(mem, this.#at, tid);
    R.starts.add(mem, this.#at, 1);
    this.state = ROLE_READY;
  }

  get tid(): number {
    return R.tid.load(this.#machine.mem, this.#at);
  }

  set tid(tid: number) {
    R.tid.store(this.#machine.mem, this.#at, tid);
  }

  get starts(): number {
    return R.starts.load(this.#machine.mem, this.#at);
  }

  get state(): number {
    return R.state.load(this.#machine.mem, this.#at);
  }

  set state(state: number) {
    R.state.store(this.#machine.mem, this.#at, state);
  }

  get progress(): number {
    return R.progress.load(this.#machine.mem, this.#at);
  }

  /** Notes that the role got on with its work, and what it does next. */
  doing(what: string, buffer = -1): void {
    const { mem } = this.#machine;
    R.doing.set(mem, this.#at, this.#machine.intern(what));
    R.buffer.set(mem, this.#at, buffer);
    R.progress.store(mem, this.#at, (R.progress.get(mem, this.#at) + 1) | 0);
    this.#machine.progress();
  }

  /** What it does now. */
  get activity(): { what: string; buffer: number } {
    const { mem } = this.#machine;
    return { what: this.#machine.string(R.doing.get(mem, this.#at)), buffer: R.buffer.get(mem, this.#at) };
  }

  count(name: CounterName, n = 1): void {
    const { mem } = this.#machine;
    R[name].set(mem, this.#at, R[name].get(mem, this.#at) + n);
  }

  counter(name: CounterName): number {
    return R[name].get(this.#machine.mem, this.#at);
  }

  counters(): Record<CounterName, number> {
    return Object.fromEntries(COUNTER_NAMES.map((name) => [name, this.counter(name)])) as Record<CounterName, number>;
  }

  refuse(exporter: string, errno: number, step: string): void {
    const { mem } = this.#machine;
    this.count('refused');
    const row = [this.#machine.intern(exporter), errno, this.#machine.intern(step)];
    const known = R.refusalCount.get(mem, this.#at);
    for (let n = 0; n < known; n++) {
      if (row.some((value, i) => R.refusals.get(mem, this.#at, n * 4 + i) !== value)) continue;
      R.refusals.set(mem, this.#at, n * 4 + 3, R.refusals.get(mem, this.#at, n * 4 + 3) + 1);
      return;
    }
    if (known === MAX_REFUSALS) return;
    [...row, 1].forEach((value, i) => R.refusals.set(mem, this.#at, known * 4 + i, value));
    R.refusalCount.store(mem, this.#at, known + 1);
  }

  refusals(): Refusal[] {
    const { mem } = this.#machine;
    return Array.from({ length: R.refusalCount.load(mem, this.#at) }, (_, n) => {
      const word = (i: number): number => R.refusals.get(mem, this.#at, n * 4 + i);
      return {
        exporter: this.#machine.string(word(0)),
        errno: errnoName(word(1)) ?? String(word(1)),
        step: this.#machine.string(word(2)),
        count: word(3),
      };
    });
  }
}
