import { KernelError } from '@dmabuf-emu/shm';
import type { AbiStruct, AbiValues } from '../abi/layout.ts';
import type { AddressSpace } from './address-space.ts';
import { MemorySignal } from './memory-signal.ts';
import { TASK_SIZE } from './protection.ts';
import type { UserStack } from './user-stack.ts';

/** What the kernel reaches of a program's memory by address: its mappings and the calling thread's stack. @kernel copy_from_user */
export class UserMemory {
  readonly stack: UserStack;
  readonly #space: AddressSpace;
  #faults: { start: bigint; end: bigint }[] = [];

  constructor(space: AddressSpace, stack: UserStack) {
    this.#space = space;
    this.stack = stack;
  }

  /** A copy of `length` bytes at `address`. @kernel copy_from_user @throws KernelError EFAULT */
  read(address: bigint, length: number): Uint8Array {
    const here = this.#check(address, length)?.slice();
    return here ?? this.#orFault(address, () => this.#space.read(address, length));
  }

  /** Stores `bytes` at `address`. @kernel copy_to_user @throws KernelError EFAULT */
  write(address: bigint, bytes: Uint8Array): void {
    const here = this.#check(address, bytes.length);
    if (here === undefined) this.#orFault(address, () => this.#space.write(address, bytes));
    else here.set(bytes);
  }

  /** A struct at `address`. @throws KernelError EFAULT */
  get<F extends object>(address: bigint, struct: AbiStruct<F>): AbiValues<F> {
    return struct.decode(this.read(address, struct.size));
  }

  /** Stores a struct at `address`. @throws KernelError EFAULT */
  put<F extends object>(address: bigint, struct: AbiStruct<F>, values: Partial<AbiValues<F>>): void {
    this.write(address, struct.encode(values));
  }

  /**
   * A text of at most `limit` bytes, the closing NUL not included. @kernel strndup_user
   * @throws KernelError EFAULT, EINVAL when there is no NUL within `limit` bytes
   */
  string(address: bigint, limit: number): Uint8Array {
    const bytes: number[] = [];
    for (let at = 0; at < limit; at++) {
      const byte = this.read(address + BigInt(at), 1)[0]!;
      if (byte === 0) return Uint8Array.from(bytes);
      bytes.push(byte);
    }
    throw new KernelError('EINVAL', 'strndup_user', `a text of ${limit} bytes or more`);
  }

  /** Makes the kernel's accesses to these bytes fail, or (0 bytes) lets all of them through again. */
  failAt(address: bigint, length: number): void {
    if (length === 0) this.#faults = [];
    else this.#faults.push({ start: address, end: address + BigInt(length) });
  }

  /** The bytes when they are on the stack. @throws KernelError EFAULT for kernel addresses and injected faults */
  #check(address: bigint, length: number): Uint8Array | undefined {
    const end = address + BigInt(length);
    if (end > BigInt(TASK_SIZE)) throw fault(address);
    if (this.#faults.some((range) => address < range.end && range.start < end)) throw fault(address);
    return this.stack.slice(Number(address), length);
  }

  #orFault<T>(address: bigint, fn: () => T): T {
    try {
      return fn();
    } catch (error) {
      throw error instanceof MemorySignal ? fault(address) : error;
    }
  }
}

function fault(address: bigint): KernelError {
  return new KernelError('EFAULT', 'copy_from_user', `the program has no memory at 0x${address.toString(16)}`);
}
