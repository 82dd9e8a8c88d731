/** Where a live line goes: a stream that may be a terminal. */
export interface LineOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Time between two lines where they cannot be rewritten. */
const PLAIN_INTERVAL_MS = 1000;

/** One line that is rewritten in place on a terminal; elsewhere, a line each second. */
export class LiveLine {
  readonly #out: LineOutput;
  readonly #now: () => number;
  #shown = false;
  #nextMs: number;

  constructor(out: LineOutput, now: () => number) {
    this.#out = out;
    this.#now = now;
    this.#nextMs = now() + PLAIN_INTERVAL_MS;
  }

  update(text: string): void {
    if (this.#out.isTTY === true) {
      this.#out.write(`\r\u001b[2K${text.slice(0, Math.max(20, (this.#out.columns ?? 100) - 1))}`);
      this.#shown = true;
      return;
    }
    if (this.#now() < this.#nextMs) return;
    this.#nextMs = this.#now() + PLAIN_INTERVAL_MS;
    this.#out.write(`${text}\n`);
  }

  /** Removes the line. */
  end(): void {
    if (this.#shown) this.#out.write('\r\u001b[2K');
    this.#shown = false;
  }
}
