import type { Machine, Mem } from '@dmabuf-emu/shm';
import { PAGE_SIZE } from './page.ts';
import type { RunList } from './run-list.ts';

/** Who wrote a page, and which of its writes it was. Both 32-bit integers. */
export interface PatternStamp {
  readonly owner: number;
  readonly epoch: number;
}

/** A stamp and where in the buffer the checked range begins. */
export interface PatternRange extends PatternStamp {
  /** Offset in the buffer of the first byte; pages are counted from the buffer's start. */
  readonly offset: number;
}

/** What a bad page looks like. */
export type PatternProblem =
  /** Nobody wrote here. */
  | 'empty'
  /** All ones: what a failed read returns. */
  | 'all-ones'
  /** An older or newer write of the same owner. */
  | 'lost'
  /** Another owner's write. */
  | 'foreign'
  /** The right write of another page. */
  | 'misplaced'
  /** The right header, with something else behind it. */
  | 'torn'
  /** No header of a pattern. */
  | 'garbage';

/** The first difference between what should be in a buffer and what is. */
export interface PatternMismatch {
  readonly problem: PatternProblem;
  /** Offset in the buffer of the first wrong byte. */
  readonly offset: number;
  readonly expected: PatternStamp & { readonly page: number; readonly byte: number };
  /** Stamp found in the page's header when it has one and the header was inside the range. */
  readonly found: Partial<PatternStamp & { readonly page: number }> & { readonly byte: number };
}

const MAGIC = 0x50_41_47_45;
const HEADER_BYTES = 16;
const TABLE_BYTES = 65_536;
const STARTS = (TABLE_BYTES - PAGE_SIZE) / 4;

/**
 * Patterns for finding lost, torn and foreign pages. Each 4 KiB page of a buffer has a header (magic, owner, epoch, page
 * number) and a body cut from a table of pseudo-random bytes at a place that depends on all three, so that writing and
 * checking go at the speed of memory copies.
 */
export class PatternTable {
  readonly #mem: Mem;
  readonly #table: number;
  readonly #header = new Uint8Array(HEADER_BYTES);
  readonly #view = new DataView(this.#header.buffer);

  constructor(machine: Machine) {
    this.#mem = machine.mem;
    const area = machine.root('pci.pattern', TABLE_BYTES / 4);
    this.#table = area * 4;
    fillTable(this.#mem.i32, area);
  }

  /** Writes the pattern of a range into the pieces of the arena that hold it. */
  write(runs: RunList, range: PatternRange): void {
    this.#each(runs, range.offset, (at, offset, bytes) => {
      const page = Math.floor(offset / PAGE_SIZE);
      const inPage = offset % PAGE_SIZE;
      const head = Math.max(0, Math.min(bytes, HEADER_BYTES - inPage));
      if (head > 0) this.#mem.write(at, this.#headerOf(range, page).subarray(inPage, inPage + head));
      if (bytes > head) this.#mem.copy(at + head, this.#bodyAt(range, page) + inPage + head, bytes - head);
      return true;
    });
  }

  /** The first byte of the pieces that differs from the pattern of a range, or `null` when all is right. */
  check(runs: RunList, range: PatternRange): PatternMismatch | null {
    let mismatch: PatternMismatch | null = null;
    this.#each(runs, range.offset, (at, offset, bytes) => {
      const bad = this.#firstBad(at, offset, bytes, range);
      if (bad >= 0) mismatch = this.#describe(at, offset, bytes, bad, range);
      return mismatch === null;
    });
    return mismatch;
  }

  /** Calls `fn` for every part of a page in the pieces until it returns false. */
  #each(runs: RunList, start: number, fn: (at: number, offset: number, bytes: number) => boolean): void {
    let offset = start;
    for (let i = 0; i < runs.count; i++) {
      for (let done = 0; done < runs.bytes(i);) {
        const bytes = Math.min(runs.bytes(i) - done, PAGE_SIZE - (offset % PAGE_SIZE));
        if (!fn(runs.at(i) + done, offset, bytes)) return;
        done += bytes;
        offset += bytes;
      }
    }
  }

  /** Position of the first wrong byte of a part of a page, or -1. */
  #firstBad(at: number, offset: number, bytes: number, range: PatternRange): number {
    const { u8 } = this.#mem;
    const page = Math.floor(offset / PAGE_SIZE);
    const inPage = offset % PAGE_SIZE;
    const head = Math.max(0, Math.min(bytes, HEADER_BYTES - inPage));
    const header = head > 0 ? this.#headerOf(range, page) : this.#header;
    for (let i = 0; i < head; i++) if (u8[at + i] !== header[inPage + i]) return i;
    const body = this.#bodyAt(range, page) + inPage;
    if (bytes === head || this.#mem.hash(at + head, bytes - head) === this.#mem.hash(body + head, bytes - head))
      return -1;
    for (let i = head; i < bytes; i++) if (u8[at + i] !== u8[body + i]) return i;
    return -1;
  }

  #describe(at: number, offset: number, bytes: number, bad: number, range: PatternRange): PatternMismatch {
    const { u8 } = this.#mem;
    const page = Math.floor(offset / PAGE_SIZE);
    const where = (offset % PAGE_SIZE) + bad;
    const expectedByte =
      where < HEADER_BYTES ? this.#headerOf(range, page)[where]! : u8[this.#bodyAt(range, page) + where]!;
    const whole = offset % PAGE_SIZE === 0 && bytes >= HEADER_BYTES;
    const stamp = whole ? readHeader(this.#mem.read(at, HEADER_BYTES)) : null;
    return {
      problem: this.#problem(at, bytes, bad, stamp, { ...range, page }),
      offset: offset + bad,
      expected: { owner: range.owner, epoch: range.epoch, page, byte: expectedByte },
      found: { ...stamp, byte: u8[at + bad]! },
    };
  }

  #problem(at: number, bytes: number, bad: number, stamp: Stamp | null, expected: Stamp): PatternProblem {
    const { u8 } = this.#mem;
    const same = (value: number): boolean => {
      for (let i = bad; i < bytes; i++) if (u8[at + i] !== value) return false;
      return true;
    };
    if (stamp === null || bad >= HEADER_BYTES) {
      if (bad === 0 && same(0)) return 'empty';
      if (same(0xff)) return 'all-ones';
      return stamp === null ? 'garbage' : 'torn';
    }
    if (stamp.owner !== expected.owner) return 'foreign';
    return stamp.epoch === expected.epoch ? 'misplaced' : 'lost';
  }

  /** Byte offset where the page's byte 0 would be if its body were all of it. */
  #bodyAt(stamp: PatternStamp, page: number): number {
    let mix = Math.imul(stamp.owner ^ 0x9e37_79b9, 0x85eb_ca6b) ^ Math.imul(stamp.epoch, 0xc2b2_ae35);
    mix = Math.imul(mix ^ (mix >>> 15) ^ page, 0x27d4_eb2f);
    mix = Math.imul(mix ^ (mix >>> 13), 0x85eb_ca6b);
    return this.#table + (((mix ^ (mix >>> 16)) >>> 0) % STARTS) * 4;
  }

  #headerOf(stamp: PatternStamp, page: number): Uint8Array {
    this.#view.setUint32(0, MAGIC, true);
    this.#view.setInt32(4, stamp.owner | 0, true);
    this.#view.setInt32(8, stamp.epoch | 0, true);
    this.#view.setInt32(12, page | 0, true);
    return this.#header;
  }
}

interface Stamp extends PatternStamp {
  readonly page: number;
}

function readHeader(bytes: Uint8Array): Stamp | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  if (view.getUint32(0, true) !== MAGIC) return null;
  return { owner: view.getInt32(4, true), epoch: view.getInt32(8, true), page: view.getInt32(12, true) };
}

/** Every thread writes the same words, so it does not matter how many do it at the same time. */
function fillTable(words: Int32Array, area: number): void {
  const last = area + TABLE_BYTES / 4 - 1;
  let x = 0x2545_f491;
  if (words[last] !== 0) return;
  for (let at = area; at <= last; at++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[at] = x | 1;
  }
}
