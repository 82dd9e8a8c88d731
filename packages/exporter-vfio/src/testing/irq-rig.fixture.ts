import { EventFd, FdTable, OpenFlags } from '@dmabuf-emu/core';
import { encodeIrqSet, type IrqSetArgument, VfioDevice } from '@dmabuf-emu/exporter-vfio';
import { type FunctionDescription, type PciFunction, PciSystem } from '@dmabuf-emu/pci-iommu';
import type { Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { BDF, TEST_TOPOLOGY } from './topology.fixture.ts';

/** A device with MSI and MSI-X, open in VFIO. */
export interface IrqRig extends Disposable {
  readonly machine: Machine;
  readonly pci: PciSystem;
  readonly dut: VfioDevice;
  readonly fn: PciFunction;
  /** A descriptor of a new eventfd that does not block; closed at the end. */
  eventfd(): number;
  /** Takes what an eventfd counted. @throws KernelError EAGAIN when there is nothing */
  read(fd: number): bigint;
  set(argument: IrqSetArgument): void;
}

const MESSAGES: Partial<FunctionDescription> = {
  msi: { vectors: 16, wide: true, maskable: true },
  msix: { vectors: 24, bar: 0, offset: 0x8000, pbaBar: 0, pbaOffset: 0x9000 },
};

/** @param more - what the device has besides, or instead */
export function irqRig(more: Partial<FunctionDescription> = {}, bdf: string = BDF.DUT): IrqRig {
  const machine = testMachine();
  const functions = TEST_TOPOLOGY.functions.map((fn) => (fn.bdf === bdf ? { ...fn, ...MESSAGES, ...more } : fn));
  const pci = PciSystem.create(machine, { topology: { ...TEST_TOPOLOGY, functions } });
  const dut = VfioDevice.open(machine, bdf);
  const table = FdTable.current(machine);
  const fds: number[] = [];
  return {
    machine,
    pci,
    dut,
    fn: pci.function(bdf),
    eventfd: () => {
      const { file } = EventFd.create(machine, { flags: OpenFlags.NONBLOCK });
      const fd = table.install(file);
      fds.push(fd);
      return fd;
    },
    read: (fd) => {
      const file = table.get(fd);
      try {
        return EventFd.of(file).read();
      } finally {
        file.put();
      }
    },
    set: (argument) => dut.setIrqs(encodeIrqSet(argument)),
    [Symbol.dispose]: () => {
      if (dut.isOpen) dut.close();
      for (const fd of fds) table.close(fd);
      machine[Symbol.dispose]();
    },
  };
}
