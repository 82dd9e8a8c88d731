/** A range of addresses, both ends inclusive. */
export interface IovaRange {
  readonly start: number;
  readonly end: number;
}

/** A range as a program passes it: 64 bits each. */
export interface U64Range {
  readonly iova: bigint;
  readonly size: bigint;
}

/** Program memory to be mapped, checked to be of 64 bits. */
export interface DmaMapRequest extends U64Range {
  readonly vaddr: number;
  readonly read: boolean;
  readonly write: boolean;
}
