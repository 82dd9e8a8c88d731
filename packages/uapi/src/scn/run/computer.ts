import { PciSystem } from '@dmabuf-emu/pci-iommu';
import { type KernelProfile, Machine } from '@dmabuf-emu/shm';
import { installUapi } from '../../install.ts';

/** Name of the programs that run on it, and of their threads. */
export const PROGRAM = 'oracle';

const MIB = 1 << 20;
/** Memory of the machine that the recorded kernels ran on. */
const RAM_BYTES = 2048 * MIB;
/** Of it, what scenarios touch. */
const BACKING_BYTES = 128 * MIB;
const ARENA_BYTES = 64 * MIB;

/** Which kernel a scenario meets. */
export interface KernelChoice {
  readonly kernel: KernelProfile;
  /** Single behaviours to switch on beside it. */
  readonly quirks: readonly string[];
}

/** A machine like the one of the recorded kernels, with every device of the user API. */
export function createComputer({ kernel, quirks }: KernelChoice): Machine {
  const machine = Machine.create({
    name: PROGRAM,
    kernel,
    quirks,
    arenaBytes: ARENA_BYTES,
    memoryBytes: BACKING_BYTES,
  });
  PciSystem.create(machine, { topology: 'genoa-4gpu', ramBytes: RAM_BYTES });
  installUapi(machine);
  return machine;
}
