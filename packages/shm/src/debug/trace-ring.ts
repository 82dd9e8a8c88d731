import { HEADER_AT, MachineHeader, MAX_TASKS, TaskStruct, taskAt } from '../machine/header.ts';
import type { Machine } from '../machine/machine.ts';

/** Words of one event: name, task, time (f64 ms), four arguments. */
const EVENT_WORDS = 8;
const HEAD_WORDS = 16;
/** Events between two readings of the clock while stamps are coarse. */
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
  readonly #precise: boolean;
  #ring = 0;
  #mask = 0;
  #next = 0;
  #time = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
    const events = MachineHeader.traceWords.get(machine.mem, HEADER_AT);
    this.on = events > 0;
    this.#precise = machine.options.traceStamps === 'every';
    if (!this.on || machine.tid === 0) return;
    const existing = TaskStruct.traceAt.get(machine.mem, machine.taskAt);
    const head = existing !== 0 ? existing : machine.arena.bump(HEAD_WORDS + events * EVENT_WORDS, 'trace');
    machine.mem.i32[head] = existing !== 0 ? machine.mem.i32[head]! : 0;
    TaskStruct.traceAt.set(machine.mem, machine.taskAt, head);
    this.#ring = head;
    this.#mask = events - 1;
    this.#next = machine.mem.i32[head]!;
  }

  /** Number of an event name, for {@link event}. */
  name(text: string): number {
    return this.#machine.intern(text);
  }

  /** Records one event; call only while {@link on}. */
  event(name: number, a = 0, b = 0, c = 0, d = 0): void {
    const { i32, f64 } = this.#machine.mem;
    const n = this.#next;
    if (this.#precise || n % STAMP_EVERY === 0) this.#time = this.#machine.clock.nowMs();
    const p = this.#ring + HEAD_WORDS + (n & this.#mask) * EVENT_WORDS;
    i32[p] = name;
    i32[p + 1] = n;
    f64[(p + 2) >>> 1] = this.#time;
    i32[p + 4] = a;
    i32[p + 5] = b;
    i32[p + 6] = c;
    i32[p + 7] = d;
    this.#next = n + 1;
    i32[this.#ring] = n + 1;
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
      const held: TraceEvent[] = [];
      for (let n = Math.max(from(task), end - size, 0); n < end; n++) {
        const p = ring + HEAD_WORDS + (n & (size - 1)) * EVENT_WORDS;
        held.push({
          task,
          seq: n,
          timeMs: mem.f64[(p + 2) >>> 1]!,
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
}
