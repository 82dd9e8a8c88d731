import { type Machine, spinLock, spinUnlock } from '@dmabuf-emu/shm';
import { EXPORTED_RANGES, ExportedStruct } from './grant-struct.ts';

/** Which physical ranges of BARs were ever given out as a dma-buf. It only grows. */
export class ExportedRanges {
  readonly #machine: Machine;
  readonly #p: number;
  readonly #first: number;
  /** Ranges that this thread knows to be in. */
  readonly #known = new Set<string>();

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#p = machine.root('pci.exported', ExportedStruct.$words);
    this.#first = Math.ceil((this.#p + ExportedStruct.ranges.at) / 2);
  }

  /** Notes a range. */
  add(start: number, length: number): void {
    const key = `${start}+${length}`;
    if (this.#known.has(key)) return;
    this.#known.add(key);
    const { mem } = this.#machine;
    spinLock(this.#machine, this.#p + ExportedStruct.lock.at);
    const count = ExportedStruct.count.get(mem, this.#p);
    if (!this.#covered(start, start + length)) {
      const full = count === EXPORTED_RANGES - 1;
      const at = this.#first + (full ? count - 1 : count) * 2;
      mem.f64[at] = full ? Math.min(mem.f64[at]!, start) : start;
      mem.f64[at + 1] = full ? Math.max(mem.f64[at + 1]!, start + length) : start + length;
      if (!full) ExportedStruct.count.store(mem, this.#p, count + 1);
    }
    spinUnlock(this.#machine, this.#p + ExportedStruct.lock.at);
  }

  /** Whether a range has a byte in common with one that was noted. */
  overlaps(start: number, length: number): boolean {
    const { mem } = this.#machine;
    const end = this.#first + ExportedStruct.count.load(mem, this.#p) * 2;
    for (let at = this.#first; at < end; at += 2) {
      if (start < mem.f64[at + 1]! && start + length > mem.f64[at]!) return true;
    }
    return false;
  }

  #covered(start: number, stop: number): boolean {
    const { mem } = this.#machine;
    const end = this.#first + ExportedStruct.count.get(mem, this.#p) * 2;
    for (let at = this.#first; at < end; at += 2) if (start >= mem.f64[at]! && stop <= mem.f64[at + 1]!) return true;
    return false;
  }
}
