import { BusError, PAGE_BYTES, type VmArea } from '@dmabuf-emu/core';
import { isKernelError } from '@dmabuf-emu/shm';
import { MemorySignal } from './memory-signal.ts';
import { Prot } from './protection.ts';

/** What is behind an area: bytes at an offset, which may fault. */
interface Backing {
  read(offset: number, length: number): Uint8Array;
  write(offset: number, bytes: Uint8Array): void;
  /** Another area shows a part of the same mapping. @kernel vm_operations_struct.open */
  split(): void;
  /** An area of this mapping is gone. @kernel vm_operations_struct.close */
  drop(): void;
}

/** A run of pages of a process that have one origin and one protection. @kernel vm_area_struct */
export interface UserArea {
  readonly start: number;
  /** First byte behind it. */
  readonly end: number;
  /** PROT_* */
  readonly prot: number;
  /** PROT_* that mprotect may give it. */
  readonly maxProt: number;
  /** Stores reach the file and other processes. @kernel VM_SHARED */
  readonly shared: boolean;
  /** MAP_SHARED was asked for. @kernel VM_MAYSHARE */
  readonly mayShare: boolean;
  /** What it maps; undefined for anonymous memory. */
  readonly vm: VmArea | undefined;
  /** Bytes from the start of the backing to the start of the area. */
  readonly offset: number;
  readonly backing: Backing;
}

/** The pages of a mapped file. Each part that a mapping is split into holds a reference to the file. */
export class FileBacking implements Backing {
  readonly #vm: VmArea;
  #parts = 1;

  constructor(vm: VmArea) {
    this.#vm = vm;
  }

  read(offset: number, length: number): Uint8Array {
    return this.#vm.read(offset, length);
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#vm.write(offset, bytes);
  }

  split(): void {
    this.#parts++;
    this.#vm.file.get().noteMapping(1);
  }

  drop(): void {
    if (--this.#parts === 0) {
      this.#vm.unmap();
      return;
    }
    const { file } = this.#vm;
    file.noteMapping(-1);
    file.put();
  }
}

/** Memory without a file: zero until written. Known to the thread that mapped it. */
export class AnonymousBacking implements Backing {
  readonly #pages = new Map<number, Uint8Array>();

  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    eachPage(offset, length, (page, within, done, count) => {
      const from = this.#pages.get(page);
      if (from !== undefined) bytes.set(from.subarray(within, within + count), done);
    });
    return bytes;
  }

  write(offset: number, bytes: Uint8Array): void {
    eachPage(offset, bytes.length, (page, within, done, count) => {
      let to = this.#pages.get(page);
      if (to === undefined) this.#pages.set(page, (to = new Uint8Array(PAGE_BYTES)));
      to.set(bytes.subarray(done, done + count), within);
    });
  }

  split(): void {}

  drop(): void {}
}

/** Reads or (with `bytes`) writes memory of an area as the program itself does. @throws MemorySignal */
export function accessArea(area: UserArea, address: number, length: number, bytes?: Uint8Array): Uint8Array {
  const needed = bytes === undefined ? Prot.READ : Prot.WRITE;
  // Pages that can be written can be read, as on x86.
  if ((area.prot & (needed | (bytes === undefined ? Prot.WRITE | Prot.EXEC : 0))) === 0) {
    throw new MemorySignal('SIGSEGV', BigInt(address), `the mapping's protection is ${area.prot}`);
  }
  const offset = address - area.start + area.offset;
  try {
    if (bytes === undefined) return area.backing.read(offset, length);
    area.backing.write(offset, bytes);
    return bytes;
  } catch (error) {
    if (!(error instanceof BusError) && !isKernelError(error, 'ENOMEM')) throw error;
    throw new MemorySignal('SIGBUS', BigInt(address), error.message);
  }
}

function eachPage(
  offset: number,
  length: number,
  visit: (page: number, within: number, done: number, count: number) => void,
): void {
  for (let done = 0; done < length;) {
    const within = (offset + done) % PAGE_BYTES;
    const count = Math.min(PAGE_BYTES - within, length - done);
    visit((offset + done - within) / PAGE_BYTES, within, done, count);
    done += count;
  }
}
