import { TopologyError } from '../topology-error.ts';
import type { LogicalLine } from './logical-lines.ts';

const BYTES_PER_LINE = 16;
const MAX_BYTES = 4096;
const HEX_LINE_PATTERN = /^([0-9a-f]{2,3}):((?: [0-9a-f]{2}){16})$/iu;

/** Sizes in which config space is dumped: header, conventional, extended. */
export const CONFIG_SIZES: readonly number[] = [64, 256, 4096];

/** Collects the hex lines of one device. */
export class ConfigBytes {
  readonly #bytes: number[] = [];
  #lastLine = 0;

  get isEmpty(): boolean {
    return this.#bytes.length === 0;
  }

  /**
   * Takes `40: 01 48 03 c8 ...`.
   *
   * @throws TopologyError when the line is not 16 bytes at the next offset
   */
  add(line: LogicalLine): void {
    const match = HEX_LINE_PATTERN.exec(line.text);
    if (match === null) {
      throw new TopologyError(`expected "OFFSET:" and 16 hex bytes, got ${JSON.stringify(line.text)}`, {
        line: line.line,
      });
    }
    const offset = Number.parseInt(match[1] ?? '', 16);
    if (this.#bytes.length >= MAX_BYTES) {
      throw new TopologyError(`expected at most ${MAX_BYTES} bytes of config space`, { line: line.line });
    }
    if (offset !== this.#bytes.length) {
      throw new TopologyError(`expected config offset ${this.#bytes.length.toString(16)}, got ${offset.toString(16)}`, {
        line: line.line,
      });
    }
    for (const byte of (match[2] ?? '').trim().split(' ')) this.#bytes.push(Number.parseInt(byte, 16));
    this.#lastLine = line.line;
  }

  /** As many of the bytes as make up a size in which config space is dumped; `null` when there are fewer. */
  finishEarly(): Uint8Array | null {
    const size = CONFIG_SIZES.findLast((candidate) => candidate <= this.#bytes.length);
    return size === undefined ? null : Uint8Array.from(this.#bytes.slice(0, size));
  }

  /**
   * All bytes.
   *
   * @throws TopologyError when there are not 64, 256 or 4096 of them
   */
  finish(): Uint8Array {
    if (!CONFIG_SIZES.includes(this.#bytes.length)) {
      throw new TopologyError(
        `expected ${CONFIG_SIZES.join(', ')} bytes of config space (${BYTES_PER_LINE} a line), got ${this.#bytes.length}`,
        { line: this.#lastLine },
      );
    }
    return Uint8Array.from(this.#bytes);
  }
}
