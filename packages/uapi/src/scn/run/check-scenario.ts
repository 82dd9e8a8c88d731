import { evaluate } from '../language/expression.ts';
import { type Scenario, familyOf, type Step } from '../language/scenario.ts';
import { ScnError } from '../language/scn-error.ts';
import type { ArgKind } from '../ops/op.ts';
import { OPERATIONS, OUT_OF_SCOPE_FAMILIES, OUT_OF_SCOPE_OPERATIONS } from '../ops/operations.ts';

/** Whether a scenario is about a subsystem that is not emulated. */
export function isOutOfScope({ id, steps }: Scenario): boolean {
  return OUT_OF_SCOPE_FAMILIES.has(familyOf(id)) || steps.some(({ op }) => OUT_OF_SCOPE_OPERATIONS.has(op));
}

/**
 * Finds what is wrong with a scenario before it runs: operations and arguments that there are not, numbers that are none,
 * variables that no earlier step sets.
 * @throws ScnError with the line and what was expected
 */
export function checkScenario(scenario: Scenario): void {
  const variables = new Set<string>();
  const background = new Set<string>();
  for (const step of scenario.steps) {
    try {
      if (step.op === 'join') checkJoin(step, background);
      else checkStep(step, variables);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new ScnError(scenario.file, step.line, `${scenario.id}: ${step.op}: ${error.message}`);
    }
    if (step.background) background.add(step.as);
    if (step.as !== '') variables.add(step.as).add(`${step.as}.size`);
  }
}

function checkJoin({ args }: Step, background: Set<string>): void {
  const name = args.find(([key]) => key === 'name')?.[1] ?? '';
  if (!background.delete(name))
    throw new RangeError(`expected name= of a bg step that is not joined yet, got '${name}'`);
}

function checkStep({ op, args }: Step, variables: ReadonlySet<string>): void {
  if (OUT_OF_SCOPE_OPERATIONS.has(op)) return;
  const operation = OPERATIONS.get(op);
  if (operation === undefined) throw new RangeError(`expected an operation${suggestion(op)}, got '${op}'`);
  const given = new Set(args.map(([key]) => key));
  for (const [key, kind] of Object.entries(operation.args)) {
    if (!kind.endsWith('?') && !given.has(key)) throw new RangeError(`expected ${key}=`);
  }
  for (const [key, text] of args) {
    const kind = operation.args[key];
    if (kind === undefined) {
      throw new RangeError(`expected ${Object.keys(operation.args).join(', ') || 'no arguments'}; got ${key}=`);
    }
    checkValue(key, text, kind, variables);
  }
}

function checkValue(key: string, text: string, kind: ArgKind, variables: ReadonlySet<string>): void {
  const number = (part: string): void => {
    evaluate(part, (name) => {
      if (variables.has(name)) return 0n;
      throw new RangeError(`expected ${key}= to use variables of earlier steps, got $${name}`);
    });
  };
  const parts = text.split(',').filter((part) => part !== '');
  if (kind.startsWith('numbers')) parts.forEach(number);
  else if (kind.startsWith('number')) number(text);
  else if (kind.startsWith('items')) parts.flatMap((item) => item.split(':')).forEach(number);
  else if (kind.startsWith('hex') && !/^[0-9a-fA-F]*$/.test(text)) {
    throw new RangeError(`expected ${key}= to be bytes in hex, got '${text}'`);
  }
}

/** `, did you mean X?` for the operation whose letters are closest. */
function suggestion(op: string): string {
  const close = [...OPERATIONS.keys()].find((name) => distance(name, op) <= 2);
  return close === undefined ? '' : ` (did you mean ${close}?)`;
}

/** Letters to change, add or remove. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (const [i, letter] of Array.from(a).entries()) {
    const next = [i + 1];
    for (const [j, other] of Array.from(b).entries()) {
      next.push(Math.min(next[j]! + 1, row[j + 1]! + 1, row[j]! + (letter === other ? 0 : 1)));
    }
    row = next;
  }
  return row.at(-1)!;
}
