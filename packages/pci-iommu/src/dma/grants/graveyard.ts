import { i32, type Machine, struct } from '@dmabuf-emu/shm';
import type { FaultGrant } from '../fault-record.ts';
import { GRAVES, GraveStruct, GrantStruct } from './grant-struct.ts';

const HeadStruct = struct('dma_graves', { next: i32() });
const G = GraveStruct;

/** Remembers the newest grants that are gone, so that a late access can be blamed on a buffer and an importer by name. */
export class Graveyard {
  readonly #machine: Machine;
  readonly #head: number;
  readonly #ring: number;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#head = machine.root('pci.graves-head', HeadStruct.$words);
    this.#ring = machine.root('pci.graves', GRAVES * G.$words);
  }

  /** Remembers the grant at word `grant`. */
  bury(grant: number): void {
    const { mem } = this.#machine;
    const seq = HeadStruct.next.add(mem, this.#head, 1);
    const p = this.#ring + (seq % GRAVES) * G.$words;
    G.stamp.store(mem, p, 0);
    G.requester.set(mem, p, GrantStruct.requester.get(mem, grant));
    G.dmabuf.set(mem, p, GrantStruct.dmabuf.get(mem, grant));
    G.attachment.set(mem, p, GrantStruct.attachment.get(mem, grant));
    G.ino.set(mem, p, GrantStruct.ino.get(mem, grant));
    G.exporter.set(mem, p, GrantStruct.exporter.get(mem, grant));
    G.importer.set(mem, p, GrantStruct.importer.get(mem, grant));
    G.address.set(mem, p, GrantStruct.address.get(mem, grant));
    G.length.set(mem, p, GrantStruct.length.get(mem, grant));
    G.stamp.store(mem, p, seq + 1);
  }

  /** The newest grant of a requester that held part of a range, if it is still remembered. */
  find(requester: number, address: number, length: number): FaultGrant | undefined {
    const { mem } = this.#machine;
    const end = HeadStruct.next.load(mem, this.#head);
    for (let seq = end - 1; seq >= Math.max(0, end - GRAVES); seq--) {
      const p = this.#ring + (seq % GRAVES) * G.$words;
      if (G.stamp.load(mem, p) !== seq + 1 || G.requester.get(mem, p) !== requester) continue;
      const start = G.address.get(mem, p);
      if (address + length <= start || address >= start + G.length.get(mem, p)) continue;
      return {
        dmabuf: G.dmabuf.get(mem, p),
        attachment: G.attachment.get(mem, p),
        ino: G.ino.get(mem, p),
        exporter: this.#machine.string(G.exporter.get(mem, p)),
        importer: this.#machine.string(G.importer.get(mem, p)),
      };
    }
    return undefined;
  }
}
