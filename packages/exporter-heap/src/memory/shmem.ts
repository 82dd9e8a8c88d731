import { PAGE_SIZE, pageUp } from '@dmabuf-emu/pci-iommu';
import {
  type Machine,
  type Mutex,
  mutexOf,
  refDec,
  refInc,
  type RwSemaphore,
  rwsemOf,
  UsageError,
} from '@dmabuf-emu/shm';
import { HUGE_PAGES } from './huge-pages.ts';
import { readShmem, writeShmem, zeroRange } from './shmem-io.ts';
import { dropPages, findPage } from './shmem-pages.ts';
import { ShmemStruct as S } from './shmem-struct.ts';
import { getPage, pagePaddr } from './page.ts';
import { pageBytesAt } from './page-bytes.ts';
import { XArray } from './xarray.ts';

/** How a {@link Shmem} is made. */
export interface ShmemOptions {
  /** Made of huge pages, which come from their pool. */
  readonly huge?: boolean;
  /** What it is called. */
  readonly label?: string;
}

/**
 * A file in memory, without a name in any directory: what stands behind memfds and GEM objects. Pages come into being when
 * they are first asked for, zeroed; they are physical pages of the machine's RAM, so that CPU mappings and devices see the
 * same bytes. A handle over the struct behind `ref`; references are counted. @kernel shmem_file_setup
 */
export class Shmem {
  readonly machine: Machine;
  readonly ref: number;
  /** Word of the struct. */
  readonly p: number;
  /** Protects size, holes and seals against each other; taken before the lock of the pages. @kernel inode_lock */
  readonly inodeLock: RwSemaphore;
  /** For this room itself. */
  readonly pagesLock: Mutex;
  readonly tree: XArray;

  constructor(machine: Machine, ref: number) {
    this.machine = machine;
    this.ref = ref;
    this.p = machine.slab(S).at(ref);
    this.inodeLock = rwsemOf(machine, this.p, S.inodeLock);
    this.pagesLock = mutexOf(machine, this.p, S.pagesLock);
    this.tree = new XArray(machine, this.p, S);
  }

  /** A file of `size` bytes, all a hole, with one reference. @throws KernelError ENOMEM */
  static create(machine: Machine, size: number, { huge = false, label = '' }: ShmemOptions = {}): Shmem {
    checkSize(size);
    const { mem } = machine;
    const ref = machine.slab(S).alloc('shmem_get_inode');
    const p = machine.slab(S).at(ref);
    S.size.set(mem, p, size);
    S.huge.set(mem, p, huge ? 1 : 0);
    S.label.set(mem, p, machine.intern(label));
    S.ownerTask.set(mem, p, machine.tid);
    S.refs.store(mem, p, 1);
    return new Shmem(machine, ref);
  }

  static of(machine: Machine, ref: number): Shmem {
    return new Shmem(machine, ref);
  }

  /** Takes a reference; the caller must own one. */
  get(): this {
    refInc(this.machine, this.p, S.refs);
    return this;
  }

  /** Drops a reference; with the last one the file gives its pages up. @kernel iput, shmem_evict_inode */
  put(): void {
    const { machine } = this;
    if (!refDec(machine, this.p, S.refs)) return;
    dropPages(this, 0, Infinity);
    this.tree.destroy();
    S.ownerTask.set(machine.mem, this.p, 0);
    machine.slab(S).free(this.ref, 'iput');
  }

  /** Bytes. */
  get size(): number {
    return S.size.get(this.machine.mem, this.p);
  }

  get huge(): boolean {
    return S.huge.get(this.machine.mem, this.p) !== 0;
  }

  get label(): string {
    return this.machine.string(S.label.get(this.machine.mem, this.p));
  }

  /** Pages that it has: holes have none. @kernel inode.i_blocks */
  get pages(): number {
    return S.pages.get(this.machine.mem, this.p);
  }

  /** The page with number `index` if it is there, 0 for a hole. Borrowed: it may go with the next hole that is punched. */
  peek(index: number): number {
    return this.pagesLock.with(() => this.tree.load(index));
  }

  /**
   * The page with number `index`, made if need be, borrowed: see {@link peek}. @kernel shmem_get_folio
   * @throws KernelError EINVAL beyond the end, ENOMEM
   */
  page(index: number): number {
    return this.pagesLock.with(() => findPage(this, index));
  }

  /** Like {@link page}, with a reference for the caller: the page stays even when the file gives it up. @kernel memfd_pin_folios */
  pin(index: number): number {
    return this.pagesLock.with(() => {
      const page = findPage(this, index);
      getPage(this.machine, page);
      return page;
    });
  }

  /** Byte offset in the machine's memory of page `index`: what a page fault maps. @throws KernelError EINVAL, ENOMEM */
  fault(index: number): number {
    return this.pagesLock.with(() => pageBytesAt(this.machine, pagePaddr(this.machine, findPage(this, index))));
  }

  /** A copy of bytes inside the file; holes read as zeros and stay holes. */
  read(offset: number, length: number): Uint8Array {
    return readShmem(this, offset, length);
  }

  /** Stores bytes inside the file and returns how many: fewer when memory ends. @throws KernelError ENOMEM for none, EINVAL beyond the end */
  write(offset: number, bytes: Uint8Array): number {
    return writeShmem(this, offset, bytes);
  }

  /** Page numbers that are there, ascending, from `from` up to and without `end`. */
  present(from = 0, end = Infinity): number[] {
    return this.pagesLock.with(() => [...this.tree.entries(from, end)].map(([index]) => index));
  }

  /**
   * Changes the size. Growing adds a hole; shrinking gives up the pages behind the end, which read as zeros if it grows
   * again. @kernel shmem_setattr, truncate_setsize
   */
  resize(size: number): void {
    checkSize(size);
    this.pagesLock.with(() => {
      if (size < this.size) {
        zeroRange(this, size, pageUp(size));
        dropPages(this, this.#unit(Math.ceil(size / PAGE_SIZE)), Infinity);
      }
      S.size.set(this.machine.mem, this.p, size);
    });
  }

  /**
   * Makes a hole of `length` bytes at `offset`: whole pages are given up (they live on where they are pinned), parts of
   * pages are zeroed. @kernel shmem_truncate_range
   */
  punch(offset: number, length: number): void {
    const end = offset + length;
    const first = this.#unit(Math.ceil(offset / PAGE_SIZE));
    const last = this.#unitDown(Math.floor(end / PAGE_SIZE));
    this.pagesLock.with(() => {
      if (first >= last) return zeroRange(this, offset, end);
      zeroRange(this, offset, first * PAGE_SIZE);
      zeroRange(this, last * PAGE_SIZE, end);
      dropPages(this, first, last);
    });
  }

  /** The first page at or above `index` that may be given up alone. */
  #unit(index: number): number {
    return this.huge ? Math.ceil(index / HUGE_PAGES) * HUGE_PAGES : index;
  }

  #unitDown(index: number): number {
    return this.huge ? Math.floor(index / HUGE_PAGES) * HUGE_PAGES : index;
  }
}

function checkSize(size: number): void {
  if (Number.isSafeInteger(size) && size >= 0) return;
  throw new UsageError(`the size of a file is a whole number of bytes up to 2^53 - 1, got ${size}`);
}
