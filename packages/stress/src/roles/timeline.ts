import type { Random } from '@dmabuf-emu/shm';

/** Something that happens at random, `rate` times a second on average. */
export interface Happening<T extends string> {
  readonly what: T;
  readonly rate: number;
}

/** The first of each kind happens within this time, so that a short run sees all of them. */
const FIRST_WITHIN_MS = 700;

/**
 * When each of several things happens next: independent random events (exponential gaps), but the first of each kind comes
 * soon. What is overdue is not made up for.
 */
export class Timeline<T extends string> {
  readonly #random: Random;
  readonly #next = new Map<T, { rate: number; atMs: number }>();

  constructor(happenings: readonly Happening<T>[], random: Random, nowMs: number) {
    this.#random = random;
    for (const { what, rate } of happenings) {
      const first = Math.min(1000 / rate, FIRST_WITHIN_MS) * random.next();
      if (rate > 0) this.#next.set(what, { rate, atMs: nowMs + first });
    }
  }

  /** Milliseconds until the next event; Infinity when nothing ever happens. */
  untilNext(nowMs: number): number {
    let least = Number.POSITIVE_INFINITY;
    for (const { atMs } of this.#next.values()) least = Math.min(least, atMs - nowMs);
    return Math.max(0, least);
  }

  /** The event that is due longest, which is taken off and gets its next time; undefined when none is due. */
  take(nowMs: number): T | undefined {
    let due: { what: T; rate: number; atMs: number } | undefined;
    for (const [what, { rate, atMs }] of this.#next) {
      if (atMs <= nowMs && (due === undefined || atMs < due.atMs)) due = { what, rate, atMs };
    }
    if (due === undefined) return undefined;
    const gapMs = (-Math.log(1 - this.#random.next()) * 1000) / due.rate;
    this.#next.set(due.what, { rate: due.rate, atMs: Math.max(due.atMs, nowMs - 1000 / due.rate) + gapMs });
    return due.what;
  }
}
