import type { DiagRecord, TraceEvent } from '@dmabuf-emu/shm';

/** Name of the document that a trace file holds. */
export const TRACE_SCHEMA = 'dmabuf-emu/trace@1';

/** A task that recorded events. Slots are reused: the name holds from event `fromSeq` of that slot's ring on. */
export interface TraceTask {
  readonly id: number;
  readonly name: string;
  readonly fromSeq: number;
}

/** What was recorded of one machine. */
export interface TraceData {
  /** Free-form facts about the run: seed, kernel, command. */
  readonly meta: Readonly<Record<string, unknown>>;
  readonly tasks: readonly TraceTask[];
  /** By time, then task, then order. */
  readonly events: readonly TraceEvent[];
  /** Warnings, violations and notes of the machine. */
  readonly diagnostics: readonly DiagRecord[];
  /** Events that were overwritten in their ring, or were over the recorder's limit. */
  readonly dropped: number;
}

/** The recorded name of the task that event `seq` of slot `task` belongs to. */
export function taskNameAt(tasks: readonly TraceTask[], task: number, seq: number): string {
  let name = `task ${task}`;
  for (const known of tasks) if (known.id === task && known.fromSeq <= seq) name = known.name;
  return name;
}
