import type { PatternMismatch } from '@dmabuf-emu/pci-iommu';
import { type Machine, taskIsRunning } from '@dmabuf-emu/shm';
import { HwStruct } from '../hw/hw-struct.ts';
import type { PagePort } from './page-port.ts';

/** How long a page that others write must stay broken before it counts: its writer may just be at work. */
export const SUSPECT_MS = 2000;
/** Suspects remembered at a time. */
const MAX_SUSPECTS = 32;

interface Suspect {
  readonly bytes: Uint8Array;
  readonly sinceMs: number;
}

/**
 * Judges pages that other sessions own. A reader may see a page half written, and a writer that was killed leaves one behind;
 * so a broken page only counts when it stays as it is for {@link SUSPECT_MS} while the session that wrote it lives.
 */
export class Suspects {
  readonly #machine: Machine;
  readonly #pages = new Map<number, Suspect>();

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** A page of somebody else was read: what is wrong with it for sure, or `null`. */
  judge(port: PagePort, address: number, page: number): PatternMismatch | null {
    const mismatch = port.inspect(address, page);
    if (mismatch === null) {
      this.#pages.delete(page);
      return null;
    }
    const now = this.#machine.clock.nowMs();
    const bytes = port.read(address);
    const known = this.#pages.get(page);
    if (known === undefined || !equal(known.bytes, bytes)) {
      if (known !== undefined || this.#pages.size < MAX_SUSPECTS) this.#pages.set(page, { bytes, sinceMs: now });
      return null;
    }
    if (now - known.sinceMs < SUSPECT_MS * this.#machine.clock.stretch || !this.#writerLives(mismatch.found.owner))
      return null;
    this.#pages.delete(page);
    return mismatch;
  }

  /** Forgets all: the content may have been replaced. */
  clear(): void {
    this.#pages.clear();
  }

  /** Whether session `owner` can still put its page right; without a name, whether no task has died that could have. */
  #writerLives(owner: number | undefined): boolean {
    const machine = this.#machine;
    if (owner === undefined) return machine.tasks().every((task) => task.state !== 'dead');
    const slab = machine.slab(HwStruct);
    for (const ref of slab.live()) {
      const p = slab.tryAt(ref);
      if (p !== 0 && HwStruct.uid.get(machine.mem, p) === owner)
        return taskIsRunning(machine, HwStruct.task.get(machine.mem, p));
    }
    return false;
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, i) => byte === b[i]);
}
