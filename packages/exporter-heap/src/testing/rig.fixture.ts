import { PciSystem, type PciFunction } from '@dmabuf-emu/pci-iommu';
import { prepareMemory } from '@dmabuf-emu/exporter-heap';
import type { ErrnoName, Machine, MachineOptions } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { expect } from 'vitest';

/** A machine with RAM, an IOMMU and PCI functions; it is found clean when the test ends. */
export interface Rig extends Disposable {
  readonly machine: Machine;
  readonly pci: PciSystem;
  /** A function that can import. */
  readonly nic: PciFunction;
  /** Pages of RAM in use. */
  readonly usedPages: number;
}

/** What {@link rig} varies. */
export interface RigOptions extends MachineOptions {
  readonly iommu?: boolean;
  readonly ramBytes?: number;
  readonly dmaMask?: number;
}

export function rig({ iommu = true, ramBytes, dmaMask, ...options }: RigOptions = {}): Rig {
  const machine = testMachine(options);
  const pci = PciSystem.create(machine, {
    topology: 'microtca-2switch',
    iommu,
    ...(ramBytes === undefined ? {} : { ramBytes }),
    ...(dmaMask === undefined ? {} : { dmaMask }),
  });
  prepareMemory(machine);
  return {
    machine,
    pci,
    nic: pci.function('15:00.0'),
    get usedPages() {
      return pci.memory.ram.usedPages;
    },
    [Symbol.dispose]: () => machine[Symbol.dispose](),
  };
}

/** An error of the kernel with that code, for `toThrow`. */
export function errno(code: ErrnoName): unknown {
  return expect.objectContaining({ code });
}
