import type { OpCall } from './op-call.ts';

/** What an argument is: a number, a text, numbers separated by commas, bytes in hex; with `?` it may be left out. */
export type ArgKind = `${'number' | 'text' | 'numbers' | 'hex' | 'items'}${'' | '?'}`;

/** An operation of the scenario language. */
export interface Op {
  readonly name: string;
  readonly args: Readonly<Record<string, ArgKind>>;
  /** Makes the calls and sets the answer. What it throws becomes `errno` or `signal`. */
  run(call: OpCall): void;
}

/** Declares an operation. */
export function op(name: string, args: Readonly<Record<string, ArgKind>>, run: (call: OpCall) => void): Op {
  return { name, args, run };
}
