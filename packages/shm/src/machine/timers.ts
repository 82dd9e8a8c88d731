import { i32, struct, u53 } from '../arena/declare.ts';
import { spinLock, spinUnlock } from '../sync/spin.ts';
import { kick } from '../sync/futex.ts';
import { MAX_TASKS, TASK_RUNNING, TaskStruct, taskAt } from './header.ts';
import type { Machine } from './machine.ts';

/** Kind of driver that the code behind a timer is. */
const TIMER_DRIVER = 'timer';

const TimerStruct = struct('timer_list', { dueNs: u53(), func: i32(), arg: i32() });
const T = TimerStruct;

/** Words of the machine's timers: their lock, how often one was started, when the first is due plus 1 (f64; 0: none is running). */
const LOCK = 0;
const STARTS = 1;
const NEXT = 2;

/** Code that a timer runs. */
export interface TimerOps {
  /** Name that it is registered under. */
  readonly name: string;
  /**
   * The time has come. Runs in whichever thread notices, maybe in the middle of a wait with sleeping locks held: must neither
   * sleep nor take such a lock.
   */
  expire(machine: Machine, arg: number): void;
}

/**
 * Code that runs at a time of the machine's clock. There is no thread for it: whoever waits, or drives the clock by hand,
 * looks after the timers meanwhile. A thread that has not {@link install}ed a timer's code leaves it to others.
 * @kernel timer_list
 */
export class Timers {
  readonly #machine: Machine;
  readonly #at: number;
  /** While no timer has been started since, what is due is not for this thread. */
  #blindAt = -1;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#at = machine.root('shm.timers', 16);
  }

  /** Makes the code available in the calling thread. */
  install(ops: TimerOps): void {
    this.#machine.drivers.register(TIMER_DRIVER, ops.name, ops);
    this.#blindAt = -1;
  }

  /**
   * Has `ops` run once, in `ms` milliseconds.
   * @returns a ref for {@link cancel}.
   * @throws KernelError ENOMEM
   * @kernel mod_timer
   */
  start(ops: TimerOps, arg: number, ms: number): number {
    const { mem, drivers, clock } = this.#machine;
    const slab = this.#machine.slab(T);
    const ref = slab.alloc('timer');
    const p = slab.at(ref);
    const due = clock.nowNs() + ms * 1e6;
    T.dueNs.set(mem, p, due);
    T.arg.set(mem, p, arg);
    this.install(ops);
    const isFirst = this.#locked(() => {
      T.func.set(mem, p, drivers.id(TIMER_DRIVER, ops.name));
      mem.i32[this.#at + STARTS]! += 1;
      const next = this.nextNs;
      if (next <= due) return false;
      this.#setNext(due);
      return true;
    });
    if (isFirst) this.#wakeSleepersPast(due);
    return ref;
  }

  /** Stops a timer; false: it ran or runs already. @kernel timer_delete */
  cancel(ref: number): boolean {
    const slab = this.#machine.slab(T);
    return this.#locked(() => {
      if (slab.tryAt(ref) === 0) return false;
      slab.free(ref, 'timer');
      return true;
    });
  }

  /** When the calling thread next has to {@link run}, in nanoseconds; Infinity for never. */
  get nextNs(): number {
    const { mem } = this.#machine;
    const next = mem.f64[(this.#at + NEXT) >>> 1]!;
    return next === 0 || mem.i32[this.#at + STARTS] === this.#blindAt ? Number.POSITIVE_INFINITY : next - 1;
  }

  /** Runs what is due and known in this thread. */
  run(): void {
    const { drivers, clock } = this.#machine;
    for (let now = clock.nowNs(); this.nextNs <= now; now = clock.nowNs()) {
      const found = this.#locked(() => this.#takeDue(now));
      if (found === undefined) return;
      drivers.get<TimerOps>(TIMER_DRIVER, found.func).expire(this.#machine, found.arg);
    }
  }

  /** Takes the first timer that is due and known here; undefined when there is none. Sets when the next one is. */
  #takeDue(now: number): { func: number; arg: number } | undefined {
    const { mem, drivers } = this.#machine;
    const slab = this.#machine.slab(T);
    let [mine, next, isBlind] = [0, Number.POSITIVE_INFINITY, false];
    for (const ref of slab.live()) {
      const p = slab.at(ref);
      const func = T.func.get(mem, p);
      const due = T.dueNs.get(mem, p);
      if (func === 0) continue;
      if (due <= now && drivers.has(TIMER_DRIVER, func)) {
        if (mine === 0 || due < T.dueNs.get(mem, slab.at(mine))) mine = ref;
      }
      if (due <= now && !drivers.has(TIMER_DRIVER, func)) isBlind = true;
      next = Math.min(next, due);
    }
    this.#setNext(next);
    if (mine === 0) {
      if (isBlind) this.#blindAt = mem.i32[this.#at + STARTS]!;
      return undefined;
    }
    const p = slab.at(mine);
    const taken = { func: T.func.get(mem, p), arg: T.arg.get(mem, p) };
    slab.free(mine, 'timer');
    return taken;
  }

  #setNext(ns: number): void {
    this.#machine.mem.f64[(this.#at + NEXT) >>> 1] = ns === Number.POSITIVE_INFINITY ? 0 : ns + 1;
  }

  /** Sleepers that mean to wake up later have to look after the timer that is now the first. */
  #wakeSleepersPast(due: number): void {
    const { mem, tid } = this.#machine;
    for (let id = 1; id <= MAX_TASKS; id++) {
      const task = taskAt(id);
      if (id === tid || TaskStruct.state.load(mem, task) !== TASK_RUNNING) continue;
      if (TaskStruct.sleepAt.load(mem, task) !== 0 && TaskStruct.deadlineNs.get(mem, task) > due)
        kick(this.#machine, task);
    }
  }

  #locked<R>(fn: () => R): R {
    spinLock(this.#machine, this.#at + LOCK);
    try {
      return fn();
    } finally {
      spinUnlock(this.#machine, this.#at + LOCK);
    }
  }
}
