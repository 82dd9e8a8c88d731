/** Addresses from `start` up to, but without, `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** The parts of `a` that are in one of the spans `b`; both without overlaps. */
export function intersect(a: readonly Span[], b: readonly Span[]): readonly Span[] {
  const parts: Span[] = [];
  for (const one of a) {
    for (const other of b) {
      const [start, end] = [Math.max(one.start, other.start), Math.min(one.end, other.end)];
      if (start < end) parts.push({ start, end });
    }
  }
  return parts;
}

/** The parts of `whole` that are in none of `spans`. */
export function subtract(whole: Span, spans: readonly Span[]): readonly Span[] {
  const parts: Span[] = [];
  let at = whole.start;
  for (const { start, end } of spans.toSorted((a, b) => a.start - b.start)) {
    if (end <= at || start >= whole.end) continue;
    if (start > at) parts.push({ start: at, end: start });
    at = Math.max(at, end);
  }
  if (at < whole.end) parts.push({ start: at, end: whole.end });
  return parts;
}

/** Disjoint ranges in ascending order: whoever claims an address first keeps it. */
export class ClaimMap<T extends Span> {
  readonly #claims: T[] = [];

  get claims(): readonly T[] {
    return this.#claims;
  }

  /** Claims what nobody has claimed yet of a range. */
  claim(range: T): void {
    let at = this.#firstEndingAbove(range.start);
    for (let { start } = range; start < range.end;) {
      const next = this.#claims[at];
      const end = Math.min(range.end, next?.start ?? Infinity);
      if (start < end) this.#claims.splice(at++, 0, { ...range, start, end });
      if (next === undefined || next.start >= range.end) return;
      start = next.end;
      at++;
    }
  }

  #firstEndingAbove(address: number): number {
    let low = 0;
    let high = this.#claims.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#claims[middle]!.end > address) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
