import { KernelError, type Machine, UsageError } from '@dmabuf-emu/shm';
import { File } from './file.ts';

/** @kernel PAGE_SIZE */
export const PAGE_BYTES = 4096;

/** @kernel FMODE_WRITE */
const FMODE_WRITE = 2;

/**
 * How the kernel treats an area beside reading and writing, by the names of /proc/PID/smaps: pages without struct page,
 * device memory, not to be expanded, not to be dumped. @kernel VM_PFNMAP, VM_IO, VM_DONTEXPAND, VM_DONTDUMP
 */
export type VmFlag = 'pf' | 'io' | 'de' | 'dd';

/** An access to a mapping where the file has nothing (any more): the program gets SIGBUS. @kernel VM_FAULT_SIGBUS */
export class BusError extends KernelError {
  constructor(syscall: string, detail: string) {
    super('EFAULT', syscall, detail);
    this.name = 'BusError';
  }
}

/** What an exporter's `mmap` puts behind an area. @kernel vm_operations_struct */
export interface VmOps {
  /** None when left out. */
  readonly flags?: readonly VmFlag[];
  /**
   * Byte offset in the machine's memory of what backs page `page` of the area. Asked on every access, so that an exporter
   * that takes the memory away need not find the areas.
   * @throws BusError where there is nothing; KernelError ENOMEM
   */
  fault(area: VmArea, page: number): number;
  /** The area is unmapped. */
  close?(area: VmArea): void;
}

/** What {@link VmArea.map} needs to know. */
export interface VmAreaInfo {
  /** Bytes, rounded up to whole pages. */
  readonly length: number;
  /** Pages from the start of the file to the start of the area. @kernel vm_pgoff */
  readonly pageOffset: number;
  /** MAP_SHARED, or (false) MAP_PRIVATE. */
  readonly shared: boolean;
  /** PROT_WRITE */
  readonly writable: boolean;
}

/** A file mapped into an emulated process, as one thread sees it: bytes that are read and written page by page. @kernel vm_area_struct */
export class VmArea {
  readonly machine: Machine;
  readonly shared: boolean;
  /** PROT_WRITE, now or after mprotect. */
  writable: boolean;
  /** Whether {@link writable} may be switched on later; whoever sets `ops` may forbid it. @kernel VM_MAYWRITE */
  mayWrite: boolean;
  /** Set by whoever maps it. */
  pageOffset: number;
  ops: VmOps | null = null;
  /** Word of whoever set `ops`. */
  priv = 0;
  #pages: number;
  #file: File;
  #mapped = true;
  /** Pages of a private mapping that were written. */
  readonly #copies = new Map<number, Uint8Array>();

  private constructor(file: File, { length, pageOffset, shared, writable }: VmAreaInfo) {
    this.machine = file.machine;
    this.#pages = Math.ceil(length / PAGE_BYTES);
    this.pageOffset = pageOffset;
    this.shared = shared;
    this.writable = writable;
    this.mayWrite = !shared || (file.mode & FMODE_WRITE) !== 0;
    this.#file = file.get();
    file.noteMapping(1);
  }

  /** Maps `file`: the area holds a reference of its own. `setup` sets its operations; when that throws nothing is left. */
  static map(file: File, info: VmAreaInfo, setup: (area: VmArea) => void): VmArea {
    if (!(info.length > 0)) throw new KernelError('EINVAL', 'mmap', `length must be above 0, got ${info.length}`);
    const area = new VmArea(file, info);
    try {
      setup(area);
    } catch (error) {
      area.#release();
      throw error;
    }
    return area;
  }

  /** Puts another file behind the area. @kernel vma_set_file */
  setFile(file: File): void {
    const before = this.#file;
    this.#file = file.get();
    file.noteMapping(1);
    before.noteMapping(-1);
    before.put();
  }

  get file(): File {
    return this.#file;
  }

  get pages(): number {
    return this.#pages;
  }

  /** Lets the area reach `pages` pages into the file; it never shrinks. @kernel vma_expand */
  grow(pages: number): void {
    if (this.ops?.flags?.includes('de') === true) {
      throw new KernelError('EFAULT', 'mremap', 'the area may not be expanded');
    }
    this.#pages = Math.max(this.#pages, pages);
  }

  /** Bytes mapped. */
  get length(): number {
    return this.pages * PAGE_BYTES;
  }

  /** A copy of `length` bytes at `offset`. @throws KernelError EFAULT outside the area, and what the exporter's fault throws */
  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.#eachPage(offset, length, (page, within, done, count) => {
      const own = this.#copies.get(page);
      bytes.set(own?.subarray(within, within + count) ?? this.#shared(page, within, count), done);
    });
    return bytes;
  }

  /**
   * Stores `bytes` at `offset`: in the file, or, where the mapping is private, in a copy of the page.
   * @throws KernelError EFAULT outside a writable area, and what the exporter's fault throws
   */
  write(offset: number, bytes: Uint8Array): void {
    if (!this.writable) throw new KernelError('EFAULT', 'mmap', 'the area is mapped without PROT_WRITE');
    this.#eachPage(offset, bytes.length, (page, within, done, count) => {
      const part = bytes.subarray(done, done + count);
      if (this.shared) this.machine.mem.write(this.ops!.fault(this, page) + within, part);
      else this.#copy(page).set(part, within);
    });
  }

  /** @kernel munmap */
  unmap(): void {
    if (!this.#mapped) throw new UsageError('the area is unmapped already');
    this.ops?.close?.(this);
    this.#release();
  }

  #release(): void {
    this.#mapped = false;
    this.#file.noteMapping(-1);
    this.#file.put();
  }

  #shared(page: number, within: number, count: number): Uint8Array {
    return this.machine.mem.read(this.ops!.fault(this, page) + within, count);
  }

  #copy(page: number): Uint8Array {
    let own = this.#copies.get(page);
    if (own === undefined) this.#copies.set(page, (own = this.#shared(page, 0, PAGE_BYTES)));
    return own;
  }

  #eachPage(
    offset: number,
    length: number,
    visit: (page: number, within: number, done: number, count: number) => void,
  ): void {
    if (!this.#mapped || this.ops === null || offset < 0 || length < 0 || offset + length > this.length) {
      throw new KernelError('EFAULT', 'mmap', `bytes ${offset} to ${offset + length} are not mapped`);
    }
    for (let done = 0; done < length;) {
      const within = (offset + done) % PAGE_BYTES;
      const count = Math.min(PAGE_BYTES - within, length - done);
      visit(Math.floor((offset + done) / PAGE_BYTES), within, done, count);
      done += count;
    }
  }
}
