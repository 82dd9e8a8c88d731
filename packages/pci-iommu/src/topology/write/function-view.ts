import { type RawCapability } from '../lspci/raw-function.ts';
import { walkCapabilities } from '../lspci/walk-capabilities.ts';
import type { TopologyFunction } from '../tree/topology-function.ts';

const CONVENTIONAL_SIZE = 256;
const HEADER_SIZE = 64;

/** A function as the writer sees it: its description, and its registers as they are. */
export class FunctionView {
  readonly fn: TopologyFunction;
  readonly bytes: Uint8Array;
  readonly capabilities: readonly RawCapability[];
  readonly #view: DataView;

  constructor(fn: TopologyFunction, bytes: Uint8Array) {
    this.fn = fn;
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.capabilities = walkCapabilities(this.#view);
  }

  read(offset: number, size: 1 | 2 | 4): number {
    if (size === 1) return this.#view.getUint8(offset);
    return size === 2 ? this.#view.getUint16(offset, true) : this.#view.getUint32(offset, true);
  }

  /** Whether it answers: a function that was taken out reads all ones. */
  get answers(): boolean {
    return this.fn.isVirtualFunction || this.read(0x08, 4) !== 0xffff_ffff;
  }

  /** Whether all capabilities are known. ACS of a function without PCI Express is known to be absent. */
  get isKnown(): boolean {
    const { pcieType, acs, description } = this.fn;
    if (pcieType === null) return true;
    return pcieType !== 'unknown' && (acs !== 'unknown' || description.acsListed === true);
  }

  /** How many bytes of configuration space are known, as far as `lspci` would dump them: 0, 64, 256 or 4096. */
  get knownBytes(): number {
    const { pcieType, acs, description, isVirtualFunction } = this.fn;
    const hasIds = isVirtualFunction || (description.vendor !== null && description.device !== null);
    if (!hasIds || description.class === null) return 0;
    if (description.config !== undefined) return Math.min(description.config.known, this.bytes.length);
    if (pcieType === 'unknown') return HEADER_SIZE;
    return pcieType !== null && acs === 'unknown' ? CONVENTIONAL_SIZE : this.bytes.length;
  }
}
