import { atomicLoad, atomicStore, KernelError, type Mem, syncPoint } from '@dmabuf-emu/shm';
import { compareRuns, fillRuns, gatherRuns, readRuns, scatterRuns, writeRuns } from '../memory/move-runs.ts';
import { isMessageAddress } from '../interrupts/message-window.ts';
import type { PatternMismatch, PatternRange } from '../memory/pattern.ts';
import type { TopologyFunction } from '../topology/index.ts';
import { AtomicOps } from './atomic-ops.ts';
import type { DmaBus } from './dma-bus.ts';
import { DmaFault, type FaultRecord } from './fault-record.ts';
import type { PacketKind } from './packet.ts';
import { PostedWrites } from './posted-writes.ts';
import { Resolver } from './resolver.ts';
import { ScatterGather } from './scatter-gather.ts';

/** Longest piece of an access that is resolved at once. */
const PIECE_BYTES = 1024 * 1024;
const WORD_BYTES = 4;

/** The first byte that is not as expected. */
export interface Difference {
  readonly offset: number;
  readonly expected: number;
  readonly actual: number;
}

/**
 * How a PCI function reaches memory: each access goes, as packets of that function, through bridges, root complex and IOMMU
 * to RAM or a BAR. A handle of one thread; any number of threads may play the engines of one function.
 *
 * Methods named `try...` return how many bytes were moved and leave the reason in {@link fault}; the others throw
 * {@link DmaFault} unless all were. Packets before the fault were moved; the rest of a read is all ones. Writes become visible
 * in the order in which they were made: who sees a flag sees the data that was written before it. A write of four bytes in the
 * window of the interrupt controllers is an interrupt, and comes after all of them.
 */
export class DmaPort {
  readonly fn: TopologyFunction;
  /** What its packets are like. */
  readonly packet: PacketKind;
  /** Why the last access ended early; `null` when it did not. */
  fault: FaultRecord | null = null;
  /** Accesses by lists of addresses. */
  readonly sg: ScatterGather;
  /** Reading, changing and writing as one. */
  readonly atomics: AtomicOps;
  /** Writes that are on their way. */
  readonly posted: PostedWrites;
  readonly #bus: DmaBus;
  readonly #mem: Mem;
  readonly #resolver: Resolver;
  readonly #source: Resolver;
  readonly #traceRead: number;
  readonly #traceWrite: number;

  constructor(bus: DmaBus, fn: TopologyFunction, packet: PacketKind = {}, posted?: PostedWrites) {
    this.fn = fn;
    this.packet = packet;
    this.#bus = bus;
    this.#mem = bus.machine.mem;
    this.#resolver = new Resolver(bus, fn, 'target', packet);
    this.#source = new Resolver(bus, fn, 'source', packet);
    this.#traceRead = bus.machine.trace.name('dma.read');
    this.#traceWrite = bus.machine.trace.name('dma.write');
    this.sg = new ScatterGather(this);
    this.atomics = new AtomicOps((address, bytes, change) => this.#modify(address, bytes, change));
    this.posted = posted ?? new PostedWrites();
  }

  /** A port of the same function whose packets are of another kind. */
  as(packet: PacketKind): DmaPort {
    return new DmaPort(this.#bus, this.fn, packet, this.posted);
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
    if (bytes.length === WORD_BYTES && address % WORD_BYTES === 0) return this.#tryStore(address, wordOf(bytes));
    return this.#each(address, bytes.length, true, (done, got) => {
      writeRuns(this.#mem, this.#resolver.runs, bytes.subarray(done, done + got));
    });
  }

  /** Writes bytes, sooner or later: see {@link PostedWrites}. Faults are only in the log. */
  post(address: number, bytes: Uint8Array): void {
    this.posted.post(this, address, bytes);
  }

  /** Writes 32 bits at once: a flag, a doorbell, an interrupt. @throws DmaFault; KernelError EINVAL for an unaligned address */
  store(address: number, value: number): void {
    checkAligned(address);
    if (isMessageAddress(address)) this.#all(this.#message(address, bytesOf(value)));
    else this.#all(this.#tryStore(address, value));
  }

  /** Reads 32 bits at once. @throws DmaFault; KernelError EINVAL for an unaligned address */
  load(address: number): number {
    checkAligned(address);
    const got = this.#begin(address, WORD_BYTES, false);
    const value = got === WORD_BYTES ? atomicLoad(this.#mem, this.#resolver.runs.at(0) / WORD_BYTES) : -1;
    this.#resolver.recheck();
    this.#all(got);
    return value;
  }

  /**
   * Compares with private bytes, by reading as the device.
   * @returns the first difference, or `null`
   * @throws DmaFault when what comes before it cannot be read
   */
  compare(address: number, bytes: Uint8Array): Difference | null {
    let found: Difference | null = null;
    const done = this.#each(address, bytes.length, false, (at, got) => {
      const offset = at + compareRuns(this.#mem, this.#resolver.runs, bytes.subarray(at, at + got));
      if (found === null && offset >= at)
        found = { offset, expected: bytes[offset]!, actual: this.#byteAt(offset - at) };
    });
    if (found === null) this.#all(done);
    return found;
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
      this.#enter();
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
    return this.#all(this.tryFill(address, value, length));
  }

  /** {@link fill} that returns the bytes written. */
  tryFill(address: number, value: number, length: number): number {
    return this.#each(address, length, true, () => fillRuns(this.#mem, this.#resolver.runs, value));
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

  /** What the function wrote and read before comes before what follows. */
  #enter(): void {
    if (this.posted.pending > 0 && this.packet.relaxedOrdering !== true) this.posted.flush();
    this.#resolver.walk.fence();
    syncPoint('dma.resolve');
  }

  /** Writes a word in one piece, so that nobody sees a part of it. Returns the bytes written. */
  #tryStore(address: number, value: number): number {
    const got = this.#begin(address, WORD_BYTES, true);
    if (got === WORD_BYTES) atomicStore(this.#mem, this.#resolver.runs.at(0) / WORD_BYTES, value | 0);
    this.#resolver.recheck();
    return got;
  }

  #modify<T>(address: number, bytes: 4 | 8, change: (mem: Mem, word: number) => T): T {
    checkAligned(address, bytes);
    this.#enter();
    const arrives = this.#resolver.resolveAtomic(address, bytes);
    this.fault = this.#resolver.fault;
    this.#trace(true, arrives ? bytes : 0);
    this.#all(0);
    syncPoint('dma.atomic');
    const old = change(this.#mem, this.#resolver.runs.at(0) / WORD_BYTES);
    this.#resolver.recheck();
    return old;
  }

  /** Interrupts. Returns the bytes written. */
  #message(address: number, bytes: Uint8Array): number {
    this.#enter();
    const arrives = this.#resolver.resolveMessage(address, bytes.length);
    this.fault = this.#resolver.fault;
    this.#trace(true, arrives ? bytes.length : 0);
    if (!arrives) return 0;
    this.#bus.interrupts.deliver(address, wordOf(bytes));
    return bytes.length;
  }

  /** A byte of what was resolved. */
  #byteAt(offset: number): number {
    const byte = new Uint8Array(offset + 1);
    readRuns(this.#mem, this.#resolver.runs, byte);
    return byte[offset]!;
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
    this.#enter();
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

function wordOf(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
}

function bytesOf(word: number): Uint8Array {
  const bytes = new Uint8Array(WORD_BYTES);
  new DataView(bytes.buffer).setUint32(0, word, true);
  return bytes;
}

function checkAligned(address: number, bytes = WORD_BYTES): void {
  if (address % bytes === 0) return;
  throw new KernelError('EINVAL', 'dma', `0x${address.toString(16)} is not a multiple of ${bytes}`);
}
