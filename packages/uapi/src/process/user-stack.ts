import { TASK_SIZE } from './protection.ts';

/** Bytes of a thread's stack. */
const STACK_BYTES = 1 << 20;

/** The stack of one thread: where it puts what it passes to the kernel by address. */
export class UserStack {
  /** Lowest address. */
  readonly base: number;
  readonly #bytes = new Uint8Array(STACK_BYTES);
  #top = STACK_BYTES;

  /** @param thread number of the thread, from 1: each has its own place. */
  constructor(thread: number) {
    this.base = TASK_SIZE - (thread + 1) * STACK_BYTES * 16;
  }

  /** Runs `fn` with the address of a copy of `bytes`, aligned to 16; afterwards the copy is gone. @throws RangeError when it does not fit */
  with<T>(bytes: Uint8Array, fn: (address: bigint) => T): T {
    const top = this.#top;
    const at = (top - bytes.length) & ~15;
    if (at < 0) throw new RangeError(`${bytes.length} bytes do not fit on the stack`);
    this.#bytes.set(bytes, at);
    this.#top = at;
    try {
      return fn(BigInt(this.base + at));
    } finally {
      this.#top = top;
    }
  }

  /** The live bytes at `address`; undefined when not all of them are on this stack. */
  slice(address: number, length: number): Uint8Array | undefined {
    const at = address - this.base;
    return at >= this.#top && at + length <= STACK_BYTES ? this.#bytes.subarray(at, at + length) : undefined;
  }
}
