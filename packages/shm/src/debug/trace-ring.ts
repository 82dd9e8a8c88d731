import { HEADER_AT, MachineHeader, MAX_TASKS, TaskStruct, taskAt } from '../machine/header.ts';
import type { Machine } from '../machine/machine.ts';

/** Words of one event: name, number, time (f64 ms, in stamped events only), four arguments. */
const EVENT_SHIFT = 3;
const EVENT_WORDS = 1 << EVENT_SHIFT;
const HEAD_WORDS = 16;
const TIME = 2;
/** Events between two readings of the clock while stamps are coarse; no more than the smallest ring holds. */
const STAMP_EVERY = 16;

/** One event of the machine's trace. Arguments are refs, ids or small numbers, as the event's name says. */
export interface TraceEvent {
  readonly task: number;
  readonly seq: number;
  readonly timeMs: number;
  readonly name: string;
  readonly args: readonly [number, number, number, number];
}

/**
 * Flight recorder: one ring a task, written with plain stores by its own thread only, the oldest events overwritten.
 * Off (the default) it costs one test of a boolean.
 */
export class Trace {
  /** Whether this thread records. */
  readonly on: boolean;
  readonly #machine: Machine;
  /** The calling task's own ring: the number of events ever recorded, padding, then the events. */
  readonly #own: Int32Array;
  /** These bits are zero in the number of an event that has a stamp. */
  readonly #unstamped: number;
  readonly #mask: number;

  constructor(machine: Machine) {
    const { mem } = machine;
    const events = MachineHeader.traceWords.get(mem, HEADER_AT);
    this.on = events > 0;
    this.#machine = machine;
    this.#unstamped = machine.options.traceStamps === 'every' ? 0 : STAMP_EVERY - 1;
    this.#mask = events - 1;
    const existing = this.on ? TaskStruct.traceAt.get(mem, machine.taskAt) : 0;
    const size = this.on ? HEAD_WORDS + events * EVENT_WORDS : 0;
    const ring = existing !== 0 || !this.on ? existing : machine.arena.bump(size, 'trace');
    this.#own = mem.i32.subarray(ring, ring + size);
    TaskStruct.traceAt.set(mem, machine.taskAt, ring);
    // Events of the slot's former task may stand before the first of this one, which then finds no stamp of its own.
    if (existing !== 0) this.#stamp(this.#own[0]! & ~this.#unstamped);
  }

  /** Number of an event name, for {@link event}. */
  name(text: string): number {
    return this.#machine.intern(text);
  }

  /** Records one event; call only while {@link on}. */
  event(name: number, a = 0, b = 0, c = 0, d = 0): void {
    const own = this.#own;
    const n = own[0]!;
    const p = HEAD_WORDS + ((n & this.#mask) << EVENT_SHIFT);
    if ((n & this.#unstamped) === 0) this.#stamp(n);
    own[p] = name;
    own[p + 1] = n;
    own[p + 4] = a;
    own[p + 5] = b;
    own[p + 6] = c;
    own[p + 7] = d;
    own[0] = (n + 1) | 0;
  }

  #stamp(n: number): void {
    const { clock, mem, taskAt: task } = this.#machine;
    mem.f64[this.#timeAt(TaskStruct.traceAt.get(mem, task), n)] = clock.nowMs();
  }

  /** Index into `f64` of the time of event `n` of a ring. */
  #timeAt(ring: number, n: number): number {
    return (ring + HEAD_WORDS + TIME + ((n & this.#mask) << EVENT_SHIFT)) >>> 1;
  }

  /**
   * The events that the rings of all tasks still hold, by time, then task, then order.
   * @param from the first event wanted of a task's ring; for readers that come again.
   */
  read(from: (task: number) => number = () => 0): TraceEvent[] {
    const { mem } = this.#machine;
    const size = MachineHeader.traceWords.get(mem, HEADER_AT);
    const events: TraceEvent[] = [];
    for (let task = 1; task <= MAX_TASKS; task++) {
      const ring = TaskStruct.traceAt.get(mem, taskAt(task));
      if (ring === 0) continue;
      const end = Atomics.load(mem.i32, ring);
      const oldest = Math.max(end - size, 0);
      const held: TraceEvent[] = [];
      for (let n = Math.max(from(task), oldest); n < end; n++) {
        const p = ring + HEAD_WORDS + ((n & this.#mask) << EVENT_SHIFT);
        held.push({
          task,
          seq: n,
          timeMs: this.#timeOf(ring, n, oldest),
          name: this.#machine.string(mem.i32[p]!),
          args: [mem.i32[p + 4]!, mem.i32[p + 5]!, mem.i32[p + 6]!, mem.i32[p + 7]!],
        });
      }
      // What a live writer has overwritten meanwhile, or is overwriting, does not count.
      const now = Atomics.load(mem.i32, ring);
      for (const event of held) if (now === end || event.seq > now - size) events.push(event);
    }
    return events.toSorted((x, y) => x.timeMs - y.timeMs || x.task - y.task || x.seq - y.seq);
  }
  /** The last stamp up to event `n`, or the next one when that has been overwritten. */
  #timeOf(ring: number, n: number, oldest: number): number {
    const before = n & ~this.#unstamped;
    return this.#machine.mem.f64[this.#timeAt(ring, before >= oldest ? before : before + STAMP_EVERY)]!;
  }
}
