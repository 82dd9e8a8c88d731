/** Entries of a magazine. */
const MAGAZINE = 127;
/** Pages below 4 GiB. */
const LOW = 2 ** 20;

interface Range {
  first: number;
  end: number;
}

/**
 * The IOVA allocator of one CPU as a plain list and plain loops: what the arena's must give out, address by address.
 * The remembered places are ranges of the list; `null` stands for the end of it.
 */
export class IovaModel {
  readonly ranges: Range[] = [];
  #cached32: Range | null = null;
  #cached: Range | null = null;
  #max32 = LOW;
  readonly #loaded: number[][] = Array.from({ length: 6 }, () => []);
  readonly #previous: number[][] = Array.from({ length: 6 }, () => []);
  readonly #depot: number[][][] = Array.from({ length: 6 }, () => []);

  reserve(first: number, end: number): void {
    for (let page = Math.max(1, first); page < end; page++) {
      if (this.ranges.some((range) => page >= range.first && page < range.end)) continue;
      const stop = Math.min(end, ...this.ranges.filter((range) => range.first > page).map((range) => range.first));
      this.#add({ first: page, end: stop });
      page = stop - 1;
    }
  }

  /** First page, or 0. `limit` is the first page that is out of reach. */
  alloc(pages: number, limit: number, flush: boolean): number {
    const order = pages > 32 ? -1 : Math.ceil(Math.log2(pages));
    const size = order < 0 ? pages : 2 ** order;
    const recycled = order < 0 ? 0 : this.#recycled(order, limit);
    if (recycled !== 0) return recycled;
    const found = this.#search(size, limit);
    if (found !== 0 || !flush) return found;
    for (const lists of [this.#loaded, this.#previous]) {
      for (const list of lists) for (const page of list.splice(0)) this.#release(page);
    }
    for (const depot of this.#depot) for (const list of depot.splice(0)) for (const page of list) this.#release(page);
    return this.#search(size, limit);
  }

  free(page: number, pages: number): void {
    if (pages > 32) return this.#release(page);
    const order = Math.ceil(Math.log2(pages));
    if (this.#loaded[order]!.length === MAGAZINE) {
      const former = this.#previous[order]!;
      if (former.length < MAGAZINE) this.#previous[order] = this.#loaded[order]!;
      else this.#depot[order]!.push(this.#loaded[order]!);
      this.#loaded[order] = former.length < MAGAZINE ? former : [];
    }
    this.#loaded[order]!.push(page);
  }

  #recycled(order: number, limit: number): number {
    if (this.#loaded[order]!.length === 0) {
      if (this.#previous[order]!.length > 0) {
        [this.#loaded[order], this.#previous[order]] = [this.#previous[order]!, this.#loaded[order]!];
      } else this.#loaded[order] = this.#depot[order]!.pop() ?? [];
    }
    const list = this.#loaded[order]!;
    const i = list.findLastIndex((page) => page + 2 ** order <= limit);
    if (i < 0) return 0;
    const page = list[i]!;
    list[i] = list.at(-1)!;
    list.pop();
    return page;
  }

  #search(size: number, limit: number): number {
    const isLow = limit <= LOW;
    if (isLow && size >= this.#max32) return 0;
    const remembered = isLow ? this.#cached32 : this.#cached;
    const top = remembered === null ? limit : Math.min(limit, remembered.first);
    let found = this.#below(size, top, 1);
    if (found === 0 && remembered !== null && remembered.end <= limit) found = this.#below(size, limit, remembered.end);
    if (found === 0) {
      this.#max32 = size;
      return 0;
    }
    const range = { first: found, end: found + size };
    this.#add(range);
    if (range.end <= LOW) this.#cached32 = range;
    else this.#cached = range;
    return found;
  }

  /** The highest aligned place from `low` on that ends at or below `high`. */
  #below(size: number, high: number, low: number): number {
    const align = 2 ** Math.ceil(Math.log2(size));
    for (let at = Math.floor((high - size) / align) * align; at >= low; at -= align) {
      if (!this.ranges.some((range) => range.first < at + size && range.end > at)) return at;
    }
    return 0;
  }

  #release(page: number): void {
    const i = this.ranges.findIndex((range) => page >= range.first && page < range.end);
    const range = this.ranges[i]!;
    const next = this.ranges[i + 1] ?? null;
    const from32 = this.#cached32?.first ?? Infinity;
    if (range === this.#cached32 || (range.end <= LOW && range.first >= from32)) this.#cached32 = next;
    if (range.first < LOW) this.#max32 = LOW;
    if (range.first >= (this.#cached?.first ?? Infinity)) this.#cached = next;
    this.ranges.splice(i, 1);
  }

  #add(range: Range): void {
    const i = this.ranges.findIndex((other) => other.first > range.first);
    this.ranges.splice(i < 0 ? this.ranges.length : i, 0, range);
  }
}
