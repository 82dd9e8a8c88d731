import type { Difference, DmaPort } from './dma-port.ts';
import { DmaFault, type FaultRecord } from './fault-record.ts';

/** A range of DMA addresses: an entry of an sg table. */
export interface SgEntry {
  readonly address: number;
  readonly length: number;
}

/** How far an access by lists got. */
export interface SgProgress {
  /** Bytes moved. */
  readonly moved: number;
  /** Index of the entry at which it ended: the one that failed, or the first that was not needed any more. */
  readonly entry: number;
  /** Why it ended early; `null` when it did not. */
  readonly fault: FaultRecord | null;
}

/**
 * Accesses of a function by lists of address ranges, such as `sgt.entries()`: in order, up to the first fault. Methods named
 * `try...` tell how far they came; the others throw {@link DmaFault}, which tells the same.
 */
export class ScatterGather {
  readonly #port: DmaPort;

  constructor(port: DmaPort) {
    this.#port = port;
  }

  /** Fills private bytes, or as many of them as the entries have. @throws DmaFault */
  read(entries: Iterable<SgEntry>, into: Uint8Array): number {
    return all(this.tryRead(entries, into));
  }

  /** {@link read} that returns how far it came; the rest is all ones after a fault. */
  tryRead(entries: Iterable<SgEntry>, into: Uint8Array): SgProgress {
    const progress = this.#each(entries, into.length, (address, at, length) =>
      this.#port.tryReadInto(address, into.subarray(at, at + length)),
    );
    if (progress.fault !== null) into.fill(0xff, progress.moved);
    return progress;
  }

  /** Writes private bytes, or as many of them as fit. @throws DmaFault */
  write(entries: Iterable<SgEntry>, bytes: Uint8Array): number {
    return all(this.tryWrite(entries, bytes));
  }

  /** {@link write} that returns how far it came. */
  tryWrite(entries: Iterable<SgEntry>, bytes: Uint8Array): SgProgress {
    return this.#each(entries, bytes.length, (address, at, length) =>
      this.#port.tryWrite(address, bytes.subarray(at, at + length)),
    );
  }

  /** Sets every byte. @throws DmaFault */
  set(entries: Iterable<SgEntry>, value: number): number {
    return all(this.trySet(entries, value));
  }

  /** {@link set} that returns how far it came. */
  trySet(entries: Iterable<SgEntry>, value: number): SgProgress {
    return this.#each(entries, Infinity, (address, _at, length) => this.#port.tryFill(address, value, length));
  }

  /** Copies from one list to another, as many bytes as both have. @throws DmaFault */
  copy(dst: Iterable<SgEntry>, src: Iterable<SgEntry>): number {
    return all(this.tryCopy(dst, src));
  }

  /** {@link copy} that returns how far it came: `entry` counts the list whose address failed, else the targets. */
  tryCopy(dst: Iterable<SgEntry>, src: Iterable<SgEntry>): SgProgress {
    const [to, from] = [new Cursor(dst), new Cursor(src)];
    let moved = 0;
    while (to.more() && from.more()) {
      const length = Math.min(to.left, from.left);
      const got = this.#port.tryCopy(to.address, from.address, length);
      moved += got;
      const { fault } = this.#port;
      if (fault !== null) return { moved, entry: (fault.write ? to : from).entry, fault };
      to.advance(got);
      from.advance(got);
    }
    return { moved, entry: to.entry, fault: null };
  }

  /**
   * Compares with private bytes, as far as the entries go.
   * @returns the first difference, or `null`
   * @throws DmaFault when what comes before it cannot be read
   */
  compare(entries: Iterable<SgEntry>, bytes: Uint8Array): Difference | null {
    const at = new Cursor(entries);
    for (let done = 0; done < bytes.length && at.more();) {
      const length = Math.min(at.left, bytes.length - done);
      const found = this.#compareEntry(at, bytes.subarray(done, done + length), done);
      if (found !== null) return { ...found, offset: done + found.offset };
      done += length;
      at.advance(length);
    }
    return null;
  }

  #compareEntry(at: Cursor, bytes: Uint8Array, before: number): Difference | null {
    try {
      return this.#port.compare(at.address, bytes);
    } catch (error) {
      if (!(error instanceof DmaFault)) throw error;
      throw new DmaFault(error.record, before + error.moved, at.entry);
    }
  }

  #each(
    entries: Iterable<SgEntry>,
    most: number,
    move: (address: number, at: number, length: number) => number,
  ): SgProgress {
    const at = new Cursor(entries);
    let moved = 0;
    while (moved < most && at.more()) {
      const length = Math.min(at.left, most - moved);
      const got = move(at.address, moved, length);
      moved += got;
      if (got < length) return { moved, entry: at.entry, fault: this.#port.fault };
      at.advance(got);
    }
    return { moved, entry: at.entry, fault: null };
  }
}

function all({ moved, entry, fault }: SgProgress): number {
  if (fault !== null) throw new DmaFault(fault, moved, entry);
  return moved;
}

/** A place in a list of entries. */
class Cursor {
  /** Index of the entry. */
  entry = -1;
  address = 0;
  left = 0;
  readonly #entries: Iterator<SgEntry>;

  constructor(entries: Iterable<SgEntry>) {
    this.#entries = entries[Symbol.iterator]();
  }

  /** Whether there is something left; goes on to the next entry that is not empty. */
  more(): boolean {
    while (this.left === 0) {
      this.entry++;
      const next = this.#entries.next();
      if (next.done === true) return false;
      this.address = next.value.address;
      this.left = next.value.length;
    }
    return true;
  }

  advance(bytes: number): void {
    this.address += bytes;
    this.left -= bytes;
  }
}
