import type { Device, DmaBuf } from '@dmabuf-emu/core';
import { type MmapEntry, RdmaDevice } from '@dmabuf-emu/exporter-rdma';
import { PciSystem } from '@dmabuf-emu/pci-iommu';
import type { ErrnoName, Machine, MachineOptions } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { registerTestImporters } from '#dist/testing/importer.test-worker.js';
import { expect } from 'vitest';
import { BDF, TEST_TOPOLOGY } from './topology.fixture.ts';

/** A machine with an open RDMA device, and a GPU that imports from it. */
export interface Rig extends Disposable {
  readonly machine: Machine;
  readonly pci: PciSystem;
  readonly nic: RdmaDevice;
  readonly gpu: Device;
  /** Device memory of four pages, and a buffer over it. */
  exported(): { entry: MmapEntry; dmabuf: DmaBuf };
}

/** Ends with the device closed, and the machine found clean. */
export function rig({ bdf = BDF.NIC, ...options }: MachineOptions & { bdf?: string } = {}): Rig {
  const machine = testMachine(options);
  const pci = PciSystem.create(machine, { topology: TEST_TOPOLOGY });
  registerTestImporters(machine);
  const nic = RdmaDevice.open(machine, bdf);
  return {
    machine,
    pci,
    nic,
    gpu: pci.function(BDF.GPU).device,
    exported: () => {
      const entry = nic.allocDm(0x4000);
      return { entry, dmabuf: nic.exportDmaBuf(entry.pgoff) };
    },
    [Symbol.dispose]: () => {
      expectQuiet(machine);
      if (nic.isOpen) nic.close();
      machine[Symbol.dispose]();
    },
  };
}

/** A KernelError with that code, for `toThrow`. */
export function errno(code: ErrnoName): unknown {
  return expect.objectContaining({ name: 'KernelError', code });
}

/** Throws when another task sleeps in the kernel: a test that failed half-way must not wait for it. */
function expectQuiet(machine: Machine): void {
  const stuck = machine.tasks().filter(({ id, state }) => id !== machine.tid && state === 'sleeping');
  if (stuck.length === 0) return;
  throw new Error(
    `still waiting: ${stuck.map(({ name, waitingFor }) => `${name} for ${waitingFor?.label}`).join(', ')}`,
  );
}
