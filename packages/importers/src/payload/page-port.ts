import { type DmaPort, PAGE_SIZE, type PatternMismatch, type PatternStamp } from '@dmabuf-emu/pci-iommu';

/** A stamp that no session writes: checking for it tells what a page holds instead. */
const NOBODY: PatternStamp = { owner: 0, epoch: 0 };

/** Pages of a buffer through a device's DMA port: each holds a pattern with owner, epoch and page number. */
export class PagePort {
  readonly #port: DmaPort;

  constructor(port: DmaPort) {
    this.#port = port;
  }

  /** Writes the pattern of a page. */
  write(address: number, page: number, stamp: PatternStamp): void {
    this.#port.writePattern(address, PAGE_SIZE, { ...stamp, offset: page * PAGE_SIZE });
  }

  /** What differs from the pattern of a page; `null` when nothing does. */
  check(address: number, page: number, stamp: PatternStamp): PatternMismatch | null {
    return this.#port.checkPattern(address, PAGE_SIZE, { ...stamp, offset: page * PAGE_SIZE });
  }

  /**
   * What is wrong with a page that anybody may have written: `null` when it holds a whole pattern of this page, or one value
   * all over, as after a clear.
   */
  inspect(address: number, page: number): PatternMismatch | null {
    const found = this.check(address, page, NOBODY)?.found;
    if (found?.owner !== undefined && found.epoch !== undefined) {
      return this.check(address, page, { owner: found.owner, epoch: found.epoch });
    }
    const bytes = this.read(address);
    return bytes.every((byte) => byte === bytes[0]) ? null : this.check(address, page, NOBODY);
  }

  /** The bytes of a page. */
  read(address: number): Uint8Array {
    return this.#port.read(address, PAGE_SIZE);
  }
}
