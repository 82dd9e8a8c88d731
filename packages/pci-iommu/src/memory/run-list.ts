/** Pieces that a list has room for at first. */
const FIRST_ROOM = 16;

/**
 * Pieces of the arena, in order, that together hold a range of addresses. Neighbours are merged, so that a copy makes one
 * call per contiguous piece. Reused from call to call: a list is only valid until its owner resolves the next range.
 */
export class RunList {
  /** Byte offset and length in bytes of each piece. */
  pairs: Uint32Array;
  /** Number of pieces in use. */
  count = 0;
  /** Sum of the lengths. */
  total = 0;
  /** Where the last piece ends. */
  end = 0;
  readonly #home: Uint32Array;

  /** @param home - where the pieces are kept as long as they fit; then they move to larger private memory */
  constructor(home: Uint32Array = new Uint32Array(2 * FIRST_ROOM)) {
    this.#home = home;
    this.pairs = home;
  }

  /** Whether the pieces are where the list began. */
  get isHome(): boolean {
    return this.pairs === this.#home;
  }

  /** Byte offset of a piece. */
  at(i: number): number {
    return this.pairs[2 * i]!;
  }

  /** Length of a piece in bytes. */
  bytes(i: number): number {
    return this.pairs[2 * i + 1]!;
  }

  clear(): void {
    this.count = 0;
    this.total = 0;
    this.pairs = this.#home;
  }

  /** Appends `bytes` bytes at byte offset `at`. */
  push(at: number, bytes: number): void {
    this.total += bytes;
    if (at === this.end && this.count > 0) this.pairs[2 * this.count - 1]! += bytes;
    else {
      if (2 * this.count === this.pairs.length) this.#grow();
      this.pairs[2 * this.count] = at;
      this.pairs[2 * this.count + 1] = bytes;
      this.count++;
    }
    this.end = at + bytes;
  }

  /** Forgets what is behind the first `bytes` bytes. */
  truncate(bytes: number): void {
    let left = this.total - bytes;
    while (left > 0 && this.count > 0) {
      const cut = Math.min(left, this.bytes(this.count - 1));
      this.pairs[2 * this.count - 1]! -= cut;
      left -= cut;
      if (this.bytes(this.count - 1) === 0) this.count--;
    }
    this.total = Math.min(this.total, bytes);
    if (this.count > 0) this.end = this.at(this.count - 1) + this.bytes(this.count - 1);
  }

  /** Takes note of pieces of `bytes` bytes that were written to {@link pairs} from outside; there are `count` now. */
  wrote(count: number, bytes: number): void {
    this.count = count;
    this.total += bytes;
    if (count > 0) this.end = this.at(count - 1) + this.bytes(count - 1);
  }

  #grow(): void {
    const larger = new Uint32Array(2 * this.pairs.length);
    larger.set(this.pairs);
    this.pairs = larger;
  }
}
