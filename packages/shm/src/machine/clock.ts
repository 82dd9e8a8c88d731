import { kick } from '../sync/futex.ts';
import { HEADER_AT, MachineHeader, MAX_TASKS, TASK_RUNNING, TaskStruct, taskAt } from './header.ts';
import type { Machine } from './machine.ts';

const H = MachineHeader;

/** The machine's monotonic clock: the host's, or one that a test drives by hand. @kernel ktime_get */
export class Clock {
  readonly #machine: Machine;
  readonly manual: boolean;
  /** Milliseconds from this thread's time origin to the machine's, on the host's clock. */
  readonly #offset: number;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.manual = H.clockManual.get(machine.mem, HEADER_AT) !== 0;
    this.#offset = performance.timeOrigin - H.clockOrigin.get(machine.mem, HEADER_AT);
  }

  /** Nanoseconds, exact to well below a microsecond; equal in all threads. */
  nowNs(): number {
    if (this.manual) return H.clockNs.get(this.#machine.mem, HEADER_AT);
    return Math.round((performance.now() + this.#offset) * 1e6);
  }

  nowMs(): number {
    return this.manual ? this.nowNs() / 1e6 : performance.now() + this.#offset;
  }

  /**
   * Factor by which bounds in real time grow while the host gives this machine less of its processors than it asks for.
   * Nothing measures it here: whoever runs the machine sets it.
   */
  get stretch(): number {
    return (H.clockStretch.load(this.#machine.mem, HEADER_AT) || 1000) / 1000;
  }

  set stretch(factor: number) {
    if (!(factor >= 1)) throw new RangeError(`the stretch of a clock must be at least 1, got ${factor}`);
    H.clockStretch.store(this.#machine.mem, HEADER_AT, Math.round(factor * 1000));
  }

  /** Moves a manual clock on, runs the timers that are due and wakes every task whose timeout has passed. @throws RangeError on the host's clock. */
  advance(ms: number): void {
    if (!this.manual || ms < 0) throw new RangeError('only a manual clock can be advanced, and only forwards');
    const { mem } = this.#machine;
    H.clockNs.set(mem, HEADER_AT, H.clockNs.get(mem, HEADER_AT) + ms * 1e6);
    H.clockSeq.add(mem, HEADER_AT, 1);
    const now = this.nowNs();
    this.#machine.timers.run();
    for (let id = 1; id <= MAX_TASKS; id++) {
      const task = taskAt(id);
      if (TaskStruct.state.load(mem, task) !== TASK_RUNNING) continue;
      if (TaskStruct.sleepAt.load(mem, task) !== 0 && TaskStruct.deadlineNs.get(mem, task) <= now)
        kick(this.#machine, task);
    }
  }
}
