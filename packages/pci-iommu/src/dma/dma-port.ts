import { type Mem, syncPoint } from '@dmabuf-emu/shm';
import { copyRuns, fillRuns, readRuns, writeRuns } from '../memory/move-runs.ts';
import type { PatternMismatch, PatternRange } from '../memory/pattern.ts';
import { RunList } from '../memory/run-list.ts';
import type { TopologyFunction } from '../topology/index.ts';
import type { DmaBus } from './dma-bus.ts';
import { DmaFault, type FaultRecord } from './fault-record.ts';
import { Resolver } from './resolver.ts';

/** Longest piece of an access that is resolved at once. */
const PIECE_BYTES = 4 * 1024 * 1024;

/**
 * How a PCI function reaches memory: each access goes, as a packet of that function, through bridges, root complex and IOMMU
 * to RAM or a BAR. A handle of one thread; any number of threads may play the engines of one function.
 *
 * Methods named `try...` return how many bytes were moved and leave the reason in {@link fault}; the others throw
 * {@link DmaFault} unless all were. Bytes before the fault were moved; the rest of a read is all ones.
 */
export class DmaPort {
  readonly fn: TopologyFunction;
  /** Why the last access ended early; `null` when it did not. */
  fault: FaultRecord | null = null;
  readonly #bus: DmaBus;
  readonly #mem: Mem;
  readonly #resolver: Resolver;
  readonly #source: Resolver;
  readonly #runs = new RunList();
  readonly #sourceRuns = new RunList();
  readonly #traceRead: number;
  readonly #traceWrite: number;

  constructor(bus: DmaBus, fn: TopologyFunction) {
    this.fn = fn;
    this.#bus = bus;
    this.#mem = bus.machine.mem;
    this.#resolver = new Resolver(bus, fn);
    this.#source = new Resolver(bus, fn);
    this.#traceRead = bus.machine.trace.name('dma.read');
    this.#traceWrite = bus.machine.trace.name('dma.write');
  }

  /** Reads `length` bytes. @throws DmaFault */
  read(address: number, length: number): Uint8Array {
    const into = new Uint8Array(length);
    this.readInto(address, into, length);
    return into;
  }

  /**
   * Reads into private bytes, or to a byte offset of the arena.
   * @throws DmaFault
   */
  readInto(address: number, into: Uint8Array | number, length: number = typeof into === 'number' ? 0 : into.length): number {
    return this.#all(this.tryReadInto(address, into, length));
  }

  /** {@link readInto} that returns the bytes read. */
  tryReadInto(address: number, into: Uint8Array | number, length: number = typeof into === 'number' ? 0 : into.length): number {
    return this.#pieces(length, (done, bytes) => {
      const got = this.#resolve(address + done, bytes, false);
      if (typeof into === 'number') {
        this.#gather(into + done, got);
        if (got < bytes) this.#mem.fill(into + done + got, 0xff, length - done - got);
      } else {
        readRuns(this.#mem, this.#runs, into.subarray(done, done + got));
        if (got < bytes) into.fill(0xff, done + got, length);
      }
      return got;
    });
  }

  /** Writes private bytes. @throws DmaFault */
  write(address: number, bytes: Uint8Array): number {
    return this.#all(this.tryWrite(address, bytes));
  }

  /** {@link write} that returns the bytes written. */
  tryWrite(address: number, bytes: Uint8Array): number {
    return this.#pieces(bytes.length, (done, count) => {
      const got = this.#resolve(address + done, count, true);
      writeRuns(this.#mem, this.#runs, bytes.subarray(done, done + got));
      return got;
    });
  }

  /** Writes `length` bytes from a byte offset of the arena. @throws DmaFault */
  writeFrom(address: number, from: number, length: number): number {
    return this.#all(
      this.#pieces(length, (done, count) => {
        const got = this.#resolve(address + done, count, true);
        this.#scatter(from + done, got);
        return got;
      }),
    );
  }

  /** Reads `length` bytes at `src` and writes them to `dst`. @throws DmaFault */
  copy(dst: number, src: number, length: number): number {
    return this.#all(this.tryCopy(dst, src, length));
  }

  /** {@link copy} that returns the bytes copied. */
  tryCopy(dst: number, src: number, length: number): number {
    return this.#pieces(length, (done, bytes) => {
      syncPoint('dma.resolve');
      const readable = this.#source.resolve(this.#sourceRuns, src + done, bytes, false);
      const writable = readable === 0 ? 0 : this.#resolver.resolve(this.#runs, dst + done, readable, true);
      this.fault = (readable === 0 ? null : this.#resolver.fault) ?? this.#source.fault;
      syncPoint('dma.move');
      const moved = writable === 0 ? 0 : copyRuns(this.#mem, this.#runs, this.#sourceRuns);
      this.#trace(true, moved);
      this.#source.recheck();
      return moved;
    });
  }

  /** Writes `length` bytes of `value`. @throws DmaFault */
  fill(address: number, value: number, length: number): number {
    return this.#all(
      this.#pieces(length, (done, bytes) => {
        const got = this.#resolve(address + done, bytes, true);
        fillRuns(this.#mem, this.#runs, value);
        return got;
      }),
    );
  }

  /** Writes the pattern of part of a buffer. @throws DmaFault */
  writePattern(address: number, length: number, range: PatternRange): number {
    return this.#all(
      this.#pieces(length, (done, bytes) => {
        const got = this.#resolve(address + done, bytes, true);
        this.#bus.patterns.write(this.#runs, { ...range, offset: range.offset + done });
        return got;
      }),
    );
  }

  /**
   * Compares part of a buffer with its pattern, by reading it as the device.
   * @returns the first difference, or `null`
   * @throws DmaFault
   */
  checkPattern(address: number, length: number, range: PatternRange): PatternMismatch | null {
    let mismatch: PatternMismatch | null = null;
    this.#all(
      this.#pieces(length, (done, bytes) => {
        const got = this.#resolve(address + done, bytes, false);
        mismatch ??= this.#bus.patterns.check(this.#runs, { ...range, offset: range.offset + done });
        return got;
      }),
    );
    return mismatch;
  }

  /** Resolves one piece, gives other threads a chance, and leaves the pieces of the arena in the run list. */
  #resolve(address: number, length: number, write: boolean): number {
    syncPoint('dma.resolve');
    const got = this.#resolver.resolve(this.#runs, address, length, write);
    this.fault = this.#resolver.fault;
    syncPoint('dma.move');
    this.#trace(write, got);
    return got;
  }

  /** Calls `fn` for each piece of an access until one is cut short. Returns the bytes moved. */
  #pieces(length: number, fn: (done: number, bytes: number) => number): number {
    this.fault = null;
    let done = 0;
    do {
      const bytes = Math.min(PIECE_BYTES, length - done);
      const got = fn(done, bytes);
      this.#resolver.recheck();
      done += got;
      if (got < bytes || this.fault !== null) break;
    } while (done < length);
    return done;
  }

  #all(moved: number): number {
    if (this.fault !== null) throw new DmaFault(this.fault, moved);
    return moved;
  }

  #gather(to: number, length: number): void {
    let done = 0;
    for (let i = 0; i < this.#runs.count && done < length; i++) {
      this.#mem.copy(to + done, this.#runs.at[i]!, this.#runs.bytes[i]!);
      done += this.#runs.bytes[i]!;
    }
  }

  #scatter(from: number, length: number): void {
    let done = 0;
    for (let i = 0; i < this.#runs.count && done < length; i++) {
      this.#mem.copy(this.#runs.at[i]!, from + done, this.#runs.bytes[i]!);
      done += this.#runs.bytes[i]!;
    }
  }

  #trace(write: boolean, bytes: number): void {
    const { trace } = this.#bus.machine;
    if (trace.on) trace.event(write ? this.#traceWrite : this.#traceRead, this.fn.index, bytes, this.fault === null ? 0 : 1);
  }
}
