/** Where in the input a {@link TopologyError} was found. */
export interface TopologyErrorPlace {
  /** Line of the text, counted from 1. */
  readonly line?: number;
  /** Path of the field in a machine description, such as `functions[3].bars[0].start`. */
  readonly path?: string;
}

/** Longest message: what was found may be a line of any length. */
const MAX_LENGTH = 400;

/**
 * Bad input: text that is not `lspci` output, or a machine description that contradicts itself.
 *
 * The message names the line or field, what was expected and what was found.
 */
export class TopologyError extends Error {
  /** Line of the text, counted from 1; 0 when the input was not text. */
  readonly line: number;
  /** Path of the field in a machine description; empty when the input was text. */
  readonly path: string;
  /** The message without its place. */
  readonly problem: string;

  constructor(problem: string, place: TopologyErrorPlace = {}) {
    const line = place.line ?? 0;
    const path = place.path ?? '';
    const prefix = line > 0 ? `line ${line}: ` : path === '' ? '' : `${path}: `;
    const text = prefix + problem;
    super(text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}...` : text);
    this.name = 'TopologyError';
    this.line = line;
    this.path = path;
    this.problem = problem;
  }
}

/** A number as people read addresses: `0xf000`. */
export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
