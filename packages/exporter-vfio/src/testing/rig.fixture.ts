import type { Device, DmaBuf } from '@dmabuf-emu/core';
import { type PciFunction, PciSystem } from '@dmabuf-emu/pci-iommu';
import type { ErrnoName, Machine, MachineOptions } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { VfioDevice } from '@dmabuf-emu/exporter-vfio';
import { registerTestImporters } from '#dist/testing/importer.test-worker.js';
import { expect } from 'vitest';
import { BDF, TEST_TOPOLOGY } from './topology.fixture.ts';

/** A machine with an open VFIO device, and NICs that import from it. */
export interface Rig extends Disposable {
  readonly machine: Machine;
  readonly pci: PciSystem;
  readonly dut: VfioDevice;
  /** Device beside it, below the same switch. */
  readonly near: Device;
  /** Device behind another root port. */
  readonly far: Device;
  fn(bdf: string): PciFunction;
  /** A buffer over whole pages of BAR 2. */
  buffer(options?: { offset?: number; length?: number }): DmaBuf;
  /** The device cannot be closed any more: the end does not try. */
  abandon(): void;
}

/** Ends with the device closed, and the machine found clean. */
export function rig({ bdf = BDF.DUT, ...options }: MachineOptions & { bdf?: string } = {}): Rig {
  const machine = testMachine(options);
  const pci = PciSystem.create(machine, { topology: TEST_TOPOLOGY });
  registerTestImporters(machine);
  const dut = VfioDevice.open(machine, bdf);
  let abandoned = false;
  const region = bdf === BDF.DUT ? 2 : 0;
  return {
    machine,
    pci,
    dut,
    near: pci.function(BDF.NEAR).device,
    far: pci.function(BDF.FAR).device,
    fn: (name) => pci.function(name),
    buffer: ({ offset = 0, length = 0x4000 } = {}) => dut.exportDmaBuf({ region, ranges: [{ offset, length }] }),
    abandon: () => (abandoned = true),
    [Symbol.dispose]: () => {
      expectQuiet(machine);
      if (dut.isOpen && !abandoned) dut.close();
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
