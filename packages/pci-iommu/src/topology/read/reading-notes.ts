import type { Bdf } from '../bdf.ts';
import { TopologyError } from '../topology-error.ts';
import type { ReadingWarning, Unknown, UnknownKind } from './machine-reading.ts';

/** After so many, warnings are only counted: a large file of noise must not become a larger list of its lines. */
const MAX_WARNINGS = 10_000;

/** Collects what a reader could not take over; decides whether that ends the reading. */
export class ReadingNotes {
  /** Bad input is left out with a warning instead of refused. */
  readonly lenient: boolean;
  readonly unknowns: Unknown[] = [];
  readonly #warnings: ReadingWarning[] = [];
  #uncounted = 0;

  constructor(lenient: boolean) {
    this.lenient = lenient;
  }

  /** All warnings; the last one counts those that were too many. */
  get warnings(): readonly ReadingWarning[] {
    if (this.#uncounted === 0) return this.#warnings;
    return [...this.#warnings, { line: null, text: `${this.#uncounted} further warnings are not listed` }];
  }

  /** @param line - from 1; 0 or `null` when it is about no line */
  warn(text: string, line: number | null = null): void {
    if (this.#warnings.length < MAX_WARNINGS) this.#warnings.push({ line: line === 0 ? null : line, text });
    else this.#uncounted++;
  }

  unknown(bdf: Bdf | null, what: UnknownKind, text: string): void {
    this.unknowns.push({ bdf, what, text });
  }

  /**
   * Bad input that the reader can go on without.
   *
   * @throws TopologyError unless the reading is lenient
   */
  refuse(problem: string, line: number): void {
    if (!this.lenient) throw new TopologyError(problem, { line });
    this.warn(`left out: ${problem}`, line);
  }

  /**
   * Calls `read`; a {@link TopologyError} becomes a warning when the reading is lenient.
   *
   * @returns what `read` gave, or `undefined` when it failed
   * @throws TopologyError of `read` unless the reading is lenient
   */
  attempt<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!this.lenient || !(error instanceof TopologyError)) throw error;
      this.warn(`left out: ${error.problem}`, error.line);
      return undefined;
    }
  }
}
