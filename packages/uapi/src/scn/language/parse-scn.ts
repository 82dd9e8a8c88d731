import { parseStep } from './parse-step.ts';
import type { Scenario, Step } from './scenario.ts';
import { ScnError } from './scn-error.ts';

/** Most steps that a file may expand to. */
const MAX_STEPS = 1_000_000;

interface Line {
  readonly text: string;
  readonly number: number;
}

/** Reads the scenarios of a file. `text` holds bytes, one character each. @throws ScnError with the line and what was expected */
export function parseScn(text: string, file: string): Scenario[] {
  const lines = text.split('\n').map((line, index) => ({ text: line.trim(), number: index + 1 }));
  return new Reader(file).read(lines);
}

class Reader {
  readonly #file: string;
  readonly #scenarios: (Scenario & { needs: string; steps: Step[] })[] = [];
  #steps = 0;

  constructor(file: string) {
    this.#file = file;
  }

  read(lines: readonly Line[]): Scenario[] {
    this.#block(lines);
    const seen = new Set<string>();
    for (const { id } of this.#scenarios) {
      if (seen.has(id)) throw new ScnError(this.#file, 0, `expected every scenario once, found '${id}' twice`);
      seen.add(id);
    }
    return this.#scenarios;
  }

  #block(lines: readonly Line[]): void {
    for (let i = 0; i < lines.length; i++) {
      const line = lines[i]!;
      const { text } = line;
      if (text === '' || text.startsWith('#')) continue;
      if (text.startsWith('scenario ')) this.#start(line);
      else if (text.startsWith('for ')) i = this.#repeat(lines, i);
      else if (text === 'end') this.#fail(line, "expected a 'for' before this 'end'");
      else this.#inside(line);
    }
  }

  #start(line: Line): void {
    const id = line.text.slice('scenario '.length).trim();
    if (!/^\S+$/.test(id)) this.#fail(line, `expected 'scenario ID' without spaces in the id, got '${line.text}'`);
    this.#scenarios.push({ id, file: this.#file, needs: '', steps: [] });
  }

  /** Expands the loop that starts at line `at`; returns the index of its `end`. */
  #repeat(lines: readonly Line[], at: number): number {
    const head = lines[at]!;
    const match = /^for (\S{1,31}) in\s+(\S.*)$/.exec(head.text);
    if (match === null) this.#fail(head, `expected 'for NAME in VALUE ...', got '${head.text}'`);
    const [, name, values] = match as unknown as [string, string, string];
    const end = endOf(lines, at);
    if (end === -1) this.#fail(head, "expected an 'end' for this 'for'");
    const body = lines.slice(at + 1, end);
    for (const value of valuesOf(values)) {
      this.#block(body.map(({ text, number }) => ({ text: text.replaceAll(`%${name}%`, () => value), number })));
    }
    return end;
  }

  #inside(line: Line): void {
    const scenario = this.#scenarios.at(-1);
    if (scenario === undefined) this.#fail(line, `expected 'scenario ID' before the first step, got '${line.text}'`);
    if (line.text.startsWith('needs ')) {
      scenario.needs = line.text.slice('needs '.length).trim();
      return;
    }
    if (++this.#steps > MAX_STEPS) this.#fail(line, `expected at most ${MAX_STEPS} steps in a file`);
    try {
      scenario.steps.push(parseStep(line.text, line.number));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#fail(line, error.message);
    }
  }

  #fail(line: Line, text: string): never {
    throw new ScnError(this.#file, line.number, text);
  }
}

function endOf(lines: readonly Line[], at: number): number {
  let depth = 1;
  for (let i = at + 1; i < lines.length; i++) {
    if (lines[i]!.text.startsWith('for ')) depth++;
    else if (lines[i]!.text === 'end' && --depth === 0) return i;
  }
  return -1;
}

function valuesOf(text: string): string[] {
  return text.split(/\s+/).flatMap((value) => {
    const range = /^(-?\d+)\.\.(-?\d+)$/.exec(value);
    if (range === null) return [value];
    const [first, last] = [Number(range[1]), Number(range[2])];
    return Array.from({ length: Math.max(0, Math.min(last - first + 1, MAX_STEPS)) }, (_, i) => String(first + i));
  });
}
