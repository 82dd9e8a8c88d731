import { type Mem, syncPoint } from '@dmabuf-emu/shm';
import { fillRuns, gatherRuns, readRuns, scatterRuns, writeRuns } from '../memory/move-runs.ts';
import { isMessageAddress } from '../interrupts/message-window.ts';
import type { PatternMismatch, PatternRange } from '../memory/pattern.ts';
import type { TopologyFunction } from '../topology/index.ts';
import type { DmaBus } from './dma-bus.ts';
import { DmaFault, type FaultRecord } from './fault-record.ts';
import { Resolver } from './resolver.ts';

/** Longest piece of an access that is resolved at once. */
const PIECE_BYTES = 1024 * 1024;

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
  readonly #traceRead: number;
  readonly #traceWrite: number;

  constructor(bus: DmaBus, fn: TopologyFunction) {
    this.fn = fn;
    this.#bus = bus;
    this.#mem = bus.machine.mem;
    this.#resolver = new Resolver(bus, fn, 'target');
    this.#source = new Resolver(bus, fn, 'source');
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
  readInto(
    address: number,
    into: Uint8Array | number,
    length: number = typeof into === 'number' ? 0 : into.length,
  ): number {
    return this.#all(this.tryReadInto(address, into, length));
  }

  /** {@link readInto} that returns the bytes read. */
  tryReadInto(
    address: number,
    into: Uint8Array | number,
    length: number = typeof into === 'number' ? 0 : into.length,
  ): number {
    let done = 0;
    do {
      const got = this.#begin(address + done, length - done, false);
      if (typeof into === 'number') gatherRuns(this.#mem, this.#resolver.runs, into + done);
      else readRuns(this.#mem, this.#resolver.runs, done === 0 ? into : into.subarray(done));
      this.#resolver.recheck();
      done += got;
    } while (done < length && this.fault === null);
    if (done < length) {
      if (typeof into === 'number') this.#mem.fill(into + done, 0xff, length - done);
      else into.fill(0xff, done, length);
    }
    return done;
  }

  /** Writes private bytes. @throws DmaFault */
  write(address: number, bytes: Uint8Array): number {
    return this.#all(this.tryWrite(address, bytes));
  }

  /** {@link write} that returns the bytes written. */
  tryWrite(address: number, bytes: Uint8Array): number {
    if (isMessageAddress(address)) return this.#message(address, bytes);
    return this.#each(address, bytes.length, true, (done, got) => {
      writeRuns(this.#mem, this.#resolver.runs, bytes.subarray(done, done + got));
    });
  }

  /** Writes `length` bytes from a byte offset of the arena. @throws DmaFault */
  writeFrom(address: number, from: number, length: number): number {
    if (isMessageAddress(address)) return this.#all(this.#message(address, this.#mem.read(from, length)));
    let done = 0;
    do {
      const got = this.#begin(address + done, length - done, true);
      scatterRuns(this.#mem, this.#resolver.runs, from + done);
      this.#resolver.recheck();
      done += got;
    } while (done < length && this.fault === null);
    return this.#all(done);
  }

  /** Reads `length` bytes at `src` and writes them to `dst`. @throws DmaFault */
  copy(dst: number, src: number, length: number): number {
    return this.#all(this.tryCopy(dst, src, length));
  }

  /** {@link copy} that returns the bytes copied. */
  tryCopy(dst: number, src: number, length: number): number {
    if (isMessageAddress(dst)) {
      const bytes = new Uint8Array(length);
      return this.tryReadInto(src, bytes) === length ? this.#message(dst, bytes) : 0;
    }
    let done = 0;
    do {
      syncPoint('dma.resolve');
      const bytes = Math.min(PIECE_BYTES, length - done);
      const readable = this.#source.resolve(src + done, bytes, false);
      this.fault = this.#source.fault;
      let moved = 0;
      if (readable > 0) {
        this.#resolver.resolve(dst + done, readable, true);
        this.fault = this.#resolver.fault ?? this.fault;
        syncPoint('dma.move');
        moved = this.#resolver.walk.copyFrom(this.#source.walk);
        this.#resolver.recheck();
      }
      this.#source.recheck();
      this.#trace(true, moved);
      done += moved;
    } while (done < length && this.fault === null);
    return done;
  }

  /** Writes `length` bytes of `value`. @throws DmaFault */
  fill(address: number, value: number, length: number): number {
    return this.#all(this.#each(address, length, true, () => fillRuns(this.#mem, this.#resolver.runs, value)));
  }

  /** Writes the pattern of part of a buffer. @throws DmaFault */
  writePattern(address: number, length: number, range: PatternRange): number {
    return this.#all(
      this.#each(address, length, true, (done) => {
        this.#bus.patterns.write(this.#resolver.runs, { ...range, offset: range.offset + done });
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
      this.#each(address, length, false, (done) => {
        mismatch ??= this.#bus.patterns.check(this.#resolver.runs, { ...range, offset: range.offset + done });
      }),
    );
    return mismatch;
  }

  /** A write to the window of interrupt messages: behind all writes before it, as it goes the same way. Returns its length. */
  #message(address: number, bytes: Uint8Array): number {
    syncPoint('dma.message');
    const passes = this.#resolver.passesMessage(address, bytes.length);
    this.fault = this.#resolver.fault;
    const data = bytes.reduceRight((value, byte) => value * 256 + byte, 0);
    if (passes) this.#bus.interrupts.deliver(address, data);
    const moved = passes ? bytes.length : 0;
    this.#trace(true, moved);
    return moved;
  }

  /** Runs `fn` on each resolved piece of an access until a fault. Returns the bytes resolved. */
  #each(address: number, length: number, write: boolean, fn: (done: number, got: number) => void): number {
    let done = 0;
    do {
      const got = this.#begin(address + done, length - done, write);
      fn(done, got);
      this.#resolver.recheck();
      done += got;
    } while (done < length && this.fault === null);
    return done;
  }

  /** Resolves the next piece of an access and leaves it in the run list. Other threads get their chance before the data moves. */
  #begin(address: number, length: number, write: boolean): number {
    syncPoint('dma.resolve');
    const got = this.#resolver.resolve(address, length < PIECE_BYTES ? length : PIECE_BYTES, write);
    this.fault = this.#resolver.fault;
    syncPoint('dma.move');
    this.#trace(write, got);
    return got;
  }

  #all(moved: number): number {
    if (this.fault !== null) throw new DmaFault(this.fault, moved);
    return moved;
  }

  #trace(write: boolean, bytes: number): void {
    const { trace } = this.#bus.machine;
    if (!trace.on) return;
    trace.event(write ? this.#traceWrite : this.#traceRead, this.fn.index, bytes, this.fault === null ? 0 : 1);
  }
}
