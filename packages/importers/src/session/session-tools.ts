import type { PciFunction, PciSystem } from '@dmabuf-emu/pci-iommu';
import type { Machine, Random } from '@dmabuf-emu/shm';
import { PagePort } from '../payload/page-port.ts';
import { Traffic } from '../payload/traffic.ts';
import type { Slice } from './session.ts';

/** What an importer's sessions work with. */
export class SessionTools {
  readonly machine: Machine;
  readonly pci: PciSystem;
  readonly fn: PciFunction;
  readonly random: Random;
  /** Name of the importer, for reports. */
  readonly name: string;

  constructor(machine: Machine, pci: PciSystem, fn: PciFunction, random: Random, name: string) {
    this.machine = machine;
    this.pci = pci;
    this.fn = fn;
    this.random = random;
    this.name = name;
  }

  /** The payload of session `uid`. */
  traffic(uid: number, slice: Slice): Traffic {
    const { machine, random, fn } = this;
    return new Traffic({ machine, random, port: new PagePort(fn.dma), uid, slice });
  }
}
