/** One call of a scenario: `[as =] [bg] op key=value ...` */
export interface Step {
  readonly op: string;
  /** Variable that keeps what the call made; '' for none. */
  readonly as: string;
  /** Starts in a thread of its own; a `join` waits for it. */
  readonly background: boolean;
  /** As written, quotes and escapes resolved. Texts hold bytes: one character each. */
  readonly args: readonly (readonly [key: string, value: string])[];
  /** Line in the file, from 1; 0 when it came from a results file. */
  readonly line: number;
}

/** A list of calls that one process makes. */
export interface Scenario {
  readonly id: string;
  readonly file: string;
  /** Path without which the scenario is skipped; '' for none. */
  readonly needs: string;
  readonly steps: readonly Step[];
}

/** What comes before the first dot of an id. */
export function familyOf(id: string): string {
  return id.split('.', 1)[0]!;
}
