import type { Step } from '../language/scenario.ts';
import { type ResultValue, writeJson } from './json-text.ts';

/** What a step answered, by member, in the order printed. */
export type Answer = Readonly<Record<string, ResultValue>>;

/** A step and its answer. */
export interface StepResult {
  readonly step: Step;
  readonly answer: Answer;
}

/** What a scenario answered. */
export interface ScenarioResult {
  readonly id: string;
  readonly steps: readonly StepResult[];
  /** How the scenario's process was ended before the last step; '' when it was not. */
  readonly died: string;
  /** Kernel messages of level warning or worse meanwhile. */
  readonly kmsg: readonly string[];
  /** The missing path for which it was skipped; '' when it ran. */
  readonly skipped: string;
}

/** The line of a results file. */
export function resultLine({ id, steps, died, kmsg, skipped }: ScenarioResult): string {
  if (skipped !== '') return writeJson({ id, skipped });
  return writeJson({
    id,
    steps: steps.map(({ step, answer }) => ({ ...headOf(step), ...answer })),
    ...(died === '' ? {} : { died }),
    ...(kmsg.length === 0 ? {} : { kmsg }),
  });
}

function headOf({ op, as, background, args }: Step): Answer {
  return {
    op,
    ...(as === '' ? {} : { as }),
    ...(background ? { bg: true } : {}),
    ...(args.length === 0 ? {} : { args: Object.fromEntries(args) }),
  };
}
