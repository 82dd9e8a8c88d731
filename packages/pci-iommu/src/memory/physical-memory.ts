import { KernelError, type Machine, type Mem } from '@dmabuf-emu/shm';
import { BackingStore } from './backing-store.ts';
import { MemoryMap } from './memory-map.ts';
import type { MemoryRegion } from './memory-region.ts';
import { copyRuns, fillRuns, readRuns, writeRuns } from './move-runs.ts';
import { PAGE_SIZE } from './page.ts';
import { PagePool, type PoolUsage } from './page-pool.ts';
import { RamAllocator } from './ram-allocator.ts';
import { RunList } from './run-list.ts';

/** Whoever wants to know of writes to a range. */
interface WriteWatch {
  readonly start: number;
  readonly end: number;
  readonly fn: () => void;
}

/**
 * The physical address space of a machine: RAM and the memory BARs of its PCI functions, as the CPU sees them.
 *
 * Sparse: BARs may be as large as they are on real hardware, and only pages that were written take room. Addresses are
 * numbers below 2^53. Nothing here asks whether a BAR is decoded at the moment: that is the business of whoever accesses it
 * on behalf of a CPU or a device.
 */
export class PhysicalMemory {
  readonly machine: Machine;
  readonly map: MemoryMap;
  readonly ram: RamAllocator;
  readonly store: BackingStore;
  readonly #mem: Mem;
  readonly #pool: PagePool;
  readonly #a = new RunList();
  readonly #b = new RunList();
  readonly #watches: WriteWatch[] = [];

  /** @param backingBytes - let at most this much of the machine's memory stand behind addresses */
  constructor(machine: Machine, regions: readonly MemoryRegion[], backingBytes?: number) {
    this.machine = machine;
    this.map = new MemoryMap(regions);
    this.#mem = machine.mem;
    this.#pool = new PagePool(machine, backingBytes);
    this.store = new BackingStore(machine, this.#pool, this.map.frames);
    this.ram = new RamAllocator(machine, this.map);
  }

  /**
   * Takes `count` pages of RAM with consecutive physical addresses and returns the first address. Their content is what the
   * last owner left there.
   * @kernel alloc_pages
   * @throws KernelError ENOMEM
   */
  allocPages(count: number, alignPages = 1): number {
    return this.ram.alloc(count, alignPages);
  }

  /** @kernel free_pages @throws KernelError EINVAL when the pages were not given out */
  freePages(paddr: number, count: number): void {
    this.ram.free(paddr, count);
  }

  /** How much of the memory behind addresses is in use. */
  get usage(): PoolUsage {
    return this.#pool.usage;
  }

  /** Byte offset in the arena of the page behind a frame; 0 when it was never written. */
  backing(frame: number): number {
    return this.store.offsetOf(frame);
  }

  /** A private copy of `length` bytes. @throws KernelError EFAULT where no memory is */
  cpuRead(paddr: number, length: number): Uint8Array {
    const into = new Uint8Array(length);
    readRuns(this.#mem, this.#resolve(this.#a, paddr, length, false), into);
    return into;
  }

  /** @throws KernelError EFAULT where no memory is, ENOMEM when the memory behind it is used up */
  cpuWrite(paddr: number, bytes: Uint8Array): void {
    writeRuns(this.#mem, this.#resolve(this.#a, paddr, bytes.length, true), bytes);
    this.wrote(paddr, bytes.length);
  }

  /** Sets `length` bytes to `value`. @throws KernelError EFAULT where no memory is, ENOMEM */
  cpuFill(paddr: number, value: number, length: number): void {
    fillRuns(this.#mem, this.#resolve(this.#a, paddr, length, true), value);
    this.wrote(paddr, length);
  }

  /** Copies `length` bytes from one physical address to another. @throws KernelError EFAULT where no memory is, ENOMEM */
  cpuCopy(dst: number, src: number, length: number): void {
    const from = this.#resolve(this.#a, src, length, false);
    copyRuns(this.#mem, this.#resolve(this.#b, dst, length, true), from);
    this.wrote(dst, length);
  }

  /** Has `fn` called, in the thread that wrote, after each write of a CPU or device to a range: registers in a BAR. */
  watch(start: number, end: number, fn: () => void): void {
    this.#watches.push({ start, end, fn });
  }

  /** Whether somebody watches any of these bytes. */
  isWatched(paddr: number, length: number): boolean {
    return this.#watches.some(({ start, end }) => paddr < end && paddr + length > start);
  }

  /** These bytes were written, by whoever resolved them himself. */
  wrote(paddr: number, length: number): void {
    for (const { start, end, fn } of this.#watches) if (paddr < end && paddr + length > start) fn();
  }

  /**
   * Appends the pieces of the arena behind a range of physical addresses.
   * @param write - give every page its backing; otherwise untouched pages read as zeros
   * @returns how many bytes were resolved: less than `length` when the range leaves memory
   * @throws KernelError ENOMEM when the memory behind addresses is used up
   */
  resolve(runs: RunList, paddr: number, length: number, write: boolean): number {
    let done = 0;
    while (done < length) {
      const region = this.map.regionAt(paddr + done);
      if (region === null) break;
      const bytes = Math.min(length - done, region.end - (paddr + done));
      this.resolveIn(region, runs, paddr + done, bytes, write);
      done += bytes;
    }
    return done;
  }

  /** {@link resolve} for a range that is inside one region. */
  resolveIn(region: MemoryRegion, runs: RunList, paddr: number, length: number, write: boolean): void {
    const page = Math.floor((paddr - region.start) / PAGE_SIZE);
    this.resolveFrames(runs, region.frame + page, paddr - region.start - page * PAGE_SIZE, length, write);
  }

  /** {@link resolve} for `length` bytes from `offset` in a frame on; its region must hold them. */
  resolveFrames(runs: RunList, frame: number, offset: number, length: number, write: boolean): void {
    this.store.resolve(runs, frame, offset, length, write);
  }

  #resolve(runs: RunList, paddr: number, length: number, write: boolean): RunList {
    runs.clear();
    const done = this.resolve(runs, paddr, length, write);
    if (done === length) return runs;
    throw new KernelError(
      'EFAULT',
      'phys_access',
      `no memory at 0x${(paddr + done).toString(16)} (range of ${length} bytes at 0x${paddr.toString(16)})`,
    );
  }
}
