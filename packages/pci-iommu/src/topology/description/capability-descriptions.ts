/** Message signalled interrupts of a function. */
export interface MsiDescription {
  /** Vectors that it can send: a power of two up to 32. */
  readonly vectors: number;
  /** Message addresses have 64 bits. */
  readonly wide: boolean;
  /** Each vector can be masked by itself. */
  readonly maskable: boolean;
}

/** MSI-X of a function: where its table of vectors and the array of pending bits stand. */
export interface MsixDescription {
  /** Up to 2048. */
  readonly vectors: number;
  readonly bar: number;
  /** Offset in the BAR, a multiple of 8. */
  readonly offset: number;
  readonly pbaBar: number;
  readonly pbaOffset: number;
}

/** A BAR whose size can be chosen. */
export interface ResizableBarDescription {
  readonly bar: number;
  /** Sizes in bytes: powers of two from 1 MiB on. */
  readonly sizes: readonly number[];
}

/**
 * Bytes of configuration space as a dump showed them, for whatever no other field of the description names; where one does,
 * that field is right.
 */
export interface ConfigDescription {
  /** All bytes below this offset are known: 0 where no run shows them. */
  readonly known: number;
  /** `OFFSET:BYTES` in hex, ascending, separated by spaces, such as `40:01500348 60:10b0`. */
  readonly runs: string;
}
