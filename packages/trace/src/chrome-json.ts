import type { TraceEvent } from '@dmabuf-emu/shm';
import { taskNameAt, type TraceData } from './trace-data.ts';

/** One event of the Trace Event Format, which Perfetto and chrome://tracing read. */
export interface ChromeEvent {
  readonly name: string;
  readonly cat: string;
  readonly ph: 'X' | 'i' | 'M';
  readonly ts: number;
  readonly dur?: number;
  readonly s?: 't' | 'g';
  readonly pid: number;
  readonly tid: number;
  readonly args: Readonly<Record<string, unknown>>;
}

export interface ChromeTrace {
  readonly displayTimeUnit: 'ns';
  readonly otherData: Readonly<Record<string, unknown>>;
  readonly traceEvents: readonly ChromeEvent[];
}

const BEGIN = ':begin';
const END = ':end';
const PID = 1;

/**
 * The trace as Chrome's JSON: one lane a task. `NAME:begin` and `NAME:end` of one task become one bar, every other event and
 * every diagnostic a mark; times are microseconds from the machine's start.
 */
export function toChromeJson(trace: TraceData): ChromeTrace {
  const lanes = new Map<string, number>();
  const meta: ChromeEvent[] = [];
  const lane = (task: number, seq: number): number => {
    const name = taskNameAt(trace.tasks, task, seq);
    const key = `${task}:${name}`;
    let tid = lanes.get(key);
    if (tid === undefined) {
      lanes.set(key, (tid = lanes.size + 1));
      meta.push({
        name: 'thread_name',
        cat: '__metadata',
        ph: 'M',
        ts: 0,
        pid: PID,
        tid,
        args: { name: `${task} ${name}` },
      });
    }
    return tid;
  };
  const events: ChromeEvent[] = [];
  const open = new Map<string, TraceEvent[]>();
  for (const event of trace.events) {
    const tid = lane(event.task, event.seq);
    if (event.name.endsWith(BEGIN)) {
      const key = `${tid}:${event.name.slice(0, -BEGIN.length)}`;
      const stack = open.get(key);
      if (stack === undefined) open.set(key, [event]);
      else stack.push(event);
    } else if (event.name.endsWith(END)) {
      const name = event.name.slice(0, -END.length);
      const begin = open.get(`${tid}:${name}`)?.pop();
      events.push(begin === undefined ? mark(event, tid) : bar(name, begin, event, tid));
    } else events.push(mark(event, tid));
  }
  for (const [key, stack] of open) for (const event of stack) events.push(mark(event, Number.parseInt(key, 10)));
  for (const record of trace.diagnostics) {
    events.push({
      name: `${record.kind}: ${record.code}`,
      cat: 'diagnostics',
      ph: 'i',
      s: 'g',
      ts: record.timeMs * 1e3,
      pid: PID,
      tid: lane(record.task, Number.MAX_SAFE_INTEGER),
      args: { text: record.text },
    });
  }
  return {
    displayTimeUnit: 'ns',
    otherData: { ...trace.meta, dropped: trace.dropped },
    traceEvents: [...meta, ...events],
  };
}

function categoryOf(name: string): string {
  return /^[a-z]+/.exec(name)?.[0] ?? 'event';
}

function mark({ name, timeMs, args }: TraceEvent, tid: number): ChromeEvent {
  return { name, cat: categoryOf(name), ph: 'i', s: 't', ts: timeMs * 1e3, pid: PID, tid, args: argsOf(args) };
}

function bar(name: string, begin: TraceEvent, end: TraceEvent, tid: number): ChromeEvent {
  const [ts, dur] = [begin.timeMs * 1e3, (end.timeMs - begin.timeMs) * 1e3];
  const args = { ...argsOf(begin.args), result: end.args[0] };
  return { name, cat: categoryOf(name), ph: 'X', ts, dur, pid: PID, tid, args };
}

function argsOf(args: TraceEvent['args']): Record<string, number> {
  return { a: args[0], b: args[1], c: args[2], d: args[3] };
}
