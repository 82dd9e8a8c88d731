/**
 * Pieces of the arena, in order, that together hold a range of addresses. Neighbours are merged, so that a copy makes one
 * call per contiguous piece. Reused from call to call: a list is only valid until its owner resolves the next range.
 */
export class RunList {
  /** Byte offset of each piece. */
  readonly at: number[] = [];
  /** Length of each piece in bytes. */
  readonly bytes: number[] = [];
  /** Number of pieces in use. */
  count = 0;
  /** Sum of the lengths. */
  total = 0;

  clear(): void {
    this.count = 0;
    this.total = 0;
  }

  /** Appends `bytes` bytes at byte offset `at`. */
  push(at: number, bytes: number): void {
    const last = this.count - 1;
    this.total += bytes;
    if (last >= 0 && at === this.at[last]! + this.bytes[last]!) {
      this.bytes[last] = this.bytes[last]! + bytes;
      return;
    }
    this.at[this.count] = at;
    this.bytes[this.count] = bytes;
    this.count++;
  }
}
