/** Addresses from `start` to `end`, both inside. */
export interface AddressRange {
  readonly start: number;
  readonly end: number;
}

/** Addresses that are taken; finds room beside them. */
export class AddressSpace {
  readonly #taken: AddressRange[];

  constructor(taken: readonly AddressRange[]) {
    this.#taken = taken.toSorted((a, b) => a.start - b.start);
  }

  take(range: AddressRange): void {
    const at = this.#taken.findIndex((other) => other.start > range.start);
    this.#taken.splice(at < 0 ? this.#taken.length : at, 0, range);
  }

  /** The lowest free multiple of `align` with room for `size` bytes inside `within`, or `null`. */
  find(size: number, align: number, within: AddressRange): number | null {
    let at = alignUp(within.start, align);
    for (const range of this.#taken) {
      if (range.end < at) continue;
      if (at + size <= range.start) break;
      at = alignUp(range.end + 1, align);
    }
    return at + size - 1 <= within.end ? at : null;
  }

  /** First taken address above `address`; Infinity when there is none. */
  nextAbove(address: number): number {
    return this.#taken.find((range) => range.start > address)?.start ?? Infinity;
  }
}

/** `address` rounded up to a multiple of `align`. */
export function alignUp(address: number, align: number): number {
  return Math.ceil(address / align) * align;
}
