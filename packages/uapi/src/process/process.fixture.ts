import { type ErrnoName, type Machine, type MachineOptions } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { PciSystem } from '@dmabuf-emu/pci-iommu';
import { installUapi, Process } from '@dmabuf-emu/uapi';
import { expect } from 'vitest';

/** A machine with every device, and a program on it; both are found clean when the test ends. */
export interface ProgramRig extends Disposable {
  readonly machine: Machine;
  readonly process: Process;
}

export function programRig(options: MachineOptions = {}): ProgramRig {
  const machine = testMachine({ memoryBytes: 64 << 20, ...options });
  PciSystem.create(machine, { topology: 'genoa-4gpu' });
  installUapi(machine);
  const process = Process.create(machine, { name: 'test' });
  return {
    machine,
    process,
    [Symbol.dispose]: () => {
      process.exit();
      machine[Symbol.dispose]();
    },
  };
}

/** An error of the kernel with that code, for `toThrow`. */
export function errno(code: ErrnoName): unknown {
  return expect.objectContaining({ code });
}
