import { OomKill } from '@dmabuf-emu/exporter-heap';
import { ProcessKilled } from '../../process/memory-signal.ts';
import type { Process } from '../../process/process.ts';
import type { Step } from '../language/scenario.ts';
import { failureOf } from '../ops/failure.ts';
import { OpCall, type Variables } from '../ops/op-call.ts';
import { OPERATIONS } from '../ops/operations.ts';
import type { Answer } from '../results/scenario-result.ts';

/** What a step answered, and the variables that it set. */
export interface StepOutcome {
  readonly answer: Answer;
  readonly kept: Variables;
}

/** Carries one step out in the calling thread. @throws RangeError for a malformed step, ProcessKilled, and bugs */
export function runStep(process: Process, step: Step, variables: Variables): StepOutcome {
  const operation = OPERATIONS.get(step.op);
  if (operation === undefined) return { answer: { unsupported: true }, kept: new Map() };
  const call = new OpCall(process, step, variables);
  try {
    operation.run(call);
  } catch (error) {
    if (error instanceof OomKill) throw new ProcessKilled(error.message);
    call.keep(-1n);
    return { answer: { ...call.answer, ...failureOf(error) }, kept: call.kept };
  }
  return { answer: call.answer, kept: call.kept };
}
