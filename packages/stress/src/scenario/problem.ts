/** One thing wrong with the input. */
export interface Problem {
  /** Where: field path (`faults.revoke`), option name (`--faults`), or '' for the whole document. */
  readonly where: string;
  /** What was expected and what was found. */
  readonly text: string;
}

/** The input (scenario, option, machine) is wrong; nothing was started. The message lists every problem. */
export class InputError extends Error {
  readonly source: string;
  readonly problems: readonly Problem[];

  /** @param source file name or 'command line'. */
  constructor(source: string, problems: readonly Problem[], options?: ErrorOptions) {
    const lines = problems.map(({ where, text }) => [source, where, text].filter((part) => part !== '').join(': '));
    super(lines.join('\n'), options);
    this.name = 'InputError';
    this.source = source;
    this.problems = problems;
  }
}

/** A value for a message: short, quoted, recognisable. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = typeof value === 'bigint' ? `${value}` : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** ` (did you mean X?)` when one of `names` is close to `name`, else ''. */
export function suggestion(name: string, names: readonly string[]): string {
  let best: string | undefined;
  let least = 3;
  for (const candidate of names) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best === undefined ? '' : ` (did you mean ${best}?)`;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
