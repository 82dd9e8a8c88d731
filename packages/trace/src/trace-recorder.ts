import type { Machine, TraceEvent } from '@dmabuf-emu/shm';
import type { TraceData, TraceTask } from './trace-data.ts';

/** Most events that a recorder keeps unless told otherwise. */
export const DEFAULT_MAX_EVENTS = 1 << 20;

/**
 * Collects the events of a machine's trace rings. The rings keep only the newest events of each task: call {@link poll} often
 * enough, or once at the end for a flight recorder. The machine must have been made with `traceEvents`.
 */
export class TraceRecorder {
  readonly #machine: Machine;
  readonly #maxEvents: number;
  readonly #events: TraceEvent[] = [];
  readonly #tasks: TraceTask[] = [];
  /** Next event wanted of each task's ring. */
  readonly #next = new Map<number, number>();
  #dropped = 0;

  /** @param options.maxEvents the newest events that are kept; older ones are dropped and counted. */
  constructor(machine: Machine, { maxEvents = DEFAULT_MAX_EVENTS }: { maxEvents?: number } = {}) {
    this.#machine = machine;
    this.#maxEvents = maxEvents;
  }

  /** Events held now. */
  get length(): number {
    return this.#events.length;
  }

  /** Takes over what the rings hold and was not taken before. Returns how many events that were. */
  poll(): number {
    this.#notice();
    const fresh = this.#machine.trace.read((task) => this.#next.get(task) ?? 0);
    for (const event of fresh) {
      const expected = this.#next.get(event.task) ?? 0;
      if (event.seq > expected) this.#dropped += event.seq - expected;
      this.#next.set(event.task, event.seq + 1);
      this.#events.push(event);
    }
    const excess = this.#events.length - this.#maxEvents;
    if (excess > 0) {
      this.#events.splice(0, excess);
      this.#dropped += excess;
    }
    return fresh.length;
  }

  /** Polls once more and returns everything. */
  finish(meta: Readonly<Record<string, unknown>> = {}): TraceData {
    this.poll();
    const events = this.#events.toSorted(byTime);
    return { meta, tasks: this.#tasks, events, diagnostics: this.#machine.diag.records(), dropped: this.#dropped };
  }

  #notice(): void {
    for (const { id, name } of this.#machine.tasks()) {
      let last: TraceTask | undefined;
      for (const task of this.#tasks) if (task.id === id) last = task;
      if (last?.name !== name)
        this.#tasks.push({ id, name, fromSeq: last === undefined ? 0 : (this.#next.get(id) ?? 0) });
    }
  }
}

function byTime(a: TraceEvent, b: TraceEvent): number {
  return a.timeMs - b.timeMs || a.task - b.task || a.seq - b.seq;
}
