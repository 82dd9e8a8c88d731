import {
  atomicAdd,
  atomicAdd64,
  atomicCas,
  atomicCas64,
  atomicExchange,
  atomicExchange64,
  type Mem,
} from '@dmabuf-emu/shm';

/** Does something to the naturally aligned bytes at an address at once, in the place of the function's hardware. */
export type Modify = <T>(address: number, bytes: 4 | 8, change: (mem: Mem, word: number) => T) => T;

/**
 * AtomicOps of PCI Express: reading, changing and writing memory as one. Each returns what was there before. Atomic for
 * every thread, device and CPU of the machine.
 *
 * All throw DmaFault when the address cannot be read and written, when the target or the root complex does no AtomicOps or a port
 * on the way blocks them, and KernelError EINVAL for an address that is not naturally aligned, EOPNOTSUPP when the function
 * may not request them.
 */
export class AtomicOps {
  readonly #modify: Modify;

  constructor(modify: Modify) {
    this.#modify = modify;
  }

  fetchAdd32(address: number, value: number): number {
    return this.#modify(address, 4, (mem, word) => atomicAdd(mem, word, value | 0)) >>> 0;
  }

  swap32(address: number, value: number): number {
    return this.#modify(address, 4, (mem, word) => atomicExchange(mem, word, value | 0)) >>> 0;
  }

  /** Writes `value` where `compare` was. */
  cas32(address: number, compare: number, value: number): number {
    return this.#modify(address, 4, (mem, word) => atomicCas(mem, word, compare | 0, value | 0)) >>> 0;
  }

  fetchAdd64(address: number, value: bigint): bigint {
    return this.#modify(address, 8, (mem, word) => atomicAdd64(mem, word, value));
  }

  swap64(address: number, value: bigint): bigint {
    return this.#modify(address, 8, (mem, word) => atomicExchange64(mem, word, value));
  }

  /** Writes `value` where `compare` was. */
  cas64(address: number, compare: bigint, value: bigint): bigint {
    return this.#modify(address, 8, (mem, word) => atomicCas64(mem, word, compare, value));
  }
}
