import { TopologyError } from '../topology-error.ts';
import type { LogicalLine } from './logical-lines.ts';

const BYTES_PER_LINE = 16;
const MAX_BYTES = 4096;
const HEX_LINE_PATTERN = /^([0-9a-f]{2,3}):((?: [0-9a-f]{2}){16})$/iu;

/** Sizes in which config space is dumped: header, conventional, extended. */
export const CONFIG_SIZES: readonly number[] = [64, 256, 4096];

/** Collects the hex lines of one device. */
export class ConfigBytes {
  #bytes: Uint8Array = EMPTY;
  #length = 0;
  #lastLine = 0;

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /**
   * Takes `40: 01 48 03 c8 ...`.
   *
   * @returns how many bytes there are now
   * @throws TopologyError when the line is not 16 bytes at the next offset
   */
  add(line: LogicalLine): number {
    const match = HEX_LINE_PATTERN.exec(line.text);
    if (match === null) {
      throw new TopologyError(`expected "OFFSET:" and 16 hex bytes, got ${JSON.stringify(line.text)}`, {
        line: line.line,
      });
    }
    const offset = Number.parseInt(match[1] ?? '', 16);
    if (this.#length >= MAX_BYTES) {
      throw new TopologyError(`expected at most ${MAX_BYTES} bytes of config space`, { line: line.line });
    }
    if (offset !== this.#length) {
      throw new TopologyError(`expected config offset ${this.#length.toString(16)}, got ${offset.toString(16)}`, {
        line: line.line,
      });
    }
    this.#reserve();
    const pairs = match[2] ?? '';
    for (let i = 0; i < BYTES_PER_LINE; i++) {
      this.#bytes[this.#length++] = (digitOf(pairs.charCodeAt(i * 3 + 1)) << 4) | digitOf(pairs.charCodeAt(i * 3 + 2));
    }
    this.#lastLine = line.line;
    return this.#length;
  }

  /** As many of the bytes as make up a size in which config space is dumped; `null` when there are fewer. */
  finishEarly(): Uint8Array | null {
    const size = CONFIG_SIZES.findLast((candidate) => candidate <= this.#length);
    return size === undefined ? null : this.#bytes.slice(0, size);
  }

  /**
   * All bytes.
   *
   * @throws TopologyError when there are not 64, 256 or 4096 of them
   */
  finish(): Uint8Array {
    if (!CONFIG_SIZES.includes(this.#length)) {
      throw new TopologyError(
        `expected ${CONFIG_SIZES.join(', ')} bytes of config space (${BYTES_PER_LINE} a line), got ${this.#length}`,
        { line: this.#lastLine },
      );
    }
    return this.#bytes.slice(0, this.#length);
  }

  #reserve(): void {
    if (this.#length < this.#bytes.length) return;
    const size = CONFIG_SIZES.find((candidate) => candidate > this.#length) ?? MAX_BYTES;
    const bytes = new Uint8Array(size);
    bytes.set(this.#bytes);
    this.#bytes = bytes;
  }
}

/** Value of a hexadecimal digit. */
function digitOf(code: number): number {
  return code < LETTER_START ? code - DIGIT_ZERO : (code | LOWER_CASE) - LETTER_A + 10;
}

const EMPTY = new Uint8Array(0);
const DIGIT_ZERO = 0x30;
const LETTER_START = 0x41;
const LETTER_A = 0x61;
const LOWER_CASE = 0x20;
