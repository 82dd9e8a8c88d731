import { parseConfigRuns, type TopologyFunction } from '../../topology/index.ts';

type Size = 1 | 2 | 4;

/** Registers of one function while they are laid out: what they hold, and which of their bits can be written. */
export class RegisterImage {
  readonly bytes: Uint8Array;
  /** By offset of the dword: bits that software can write, and bits that it clears by writing ones. */
  readonly writable = new Map<number, number>();
  readonly clearable = new Map<number, number>();
  /** 1 for bytes that a dump showed or that a capability has. */
  readonly #taken: Uint8Array;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.#taken = new Uint8Array(size);
  }

  /** Starts from what a dump showed. */
  takeDump(fn: TopologyFunction): void {
    const { config } = fn.description;
    if (config === undefined) return;
    this.#taken.fill(1, 0, Math.min(config.known, this.bytes.length));
    for (const { at, bytes } of parseConfigRuns(config.runs) ?? []) {
      const fitting = bytes.subarray(0, Math.max(0, this.bytes.length - at));
      this.bytes.set(fitting, at);
      this.#taken.fill(1, at, at + fitting.length);
    }
  }

  /** Whether a dump showed the byte, or something stands there. */
  isTaken(at: number): boolean {
    return this.#taken[at] === 1;
  }

  /** Room for `length` bytes: at `wish`, else the first gap of that size from `from` to `to`; 0 when there is none. */
  findRoom(wish: number, length: number, from: number, to: number): number {
    const isFree = (at: number): boolean => at + length <= to && !this.#taken.subarray(at, at + length).includes(1);
    if (isFree(wish)) return wish;
    for (let at = from; at < to; at += 4) if (isFree(at)) return at;
    return 0;
  }

  /** Nothing else may stand there. */
  take(at: number, length: number): void {
    this.#taken.fill(1, at, at + length);
  }

  read(at: number, size: Size): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + (this.bytes[at + i] ?? 0);
    return value;
  }

  put(at: number, size: Size, value: number): void {
    for (let i = 0; i < size; i++) this.bytes[at + i] = value >>> (8 * i);
  }

  /** Replaces the bits of `mask`. */
  merge(at: number, size: Size, mask: number, value: number): void {
    this.put(at, size, (this.read(at, size) & ~mask) | (value & mask));
  }

  /** Software can write these bits. */
  allow(at: number, size: Size, mask: number): void {
    addMask(this.writable, at, size, mask);
  }

  /** Software clears these bits by writing ones. */
  clearByOne(at: number, size: Size, mask: number): void {
    addMask(this.clearable, at, size, mask);
  }
}

function addMask(masks: Map<number, number>, at: number, size: Size, mask: number): void {
  const dword = at & ~3;
  const all = size === 4 ? -1 : size === 2 ? 0xffff : 0xff;
  masks.set(dword, (masks.get(dword) ?? 0) | ((mask & all) << ((at & 3) * 8)));
}
