import { registerHeaps } from '@dmabuf-emu/exporter-heap';
import { registerRdma } from '@dmabuf-emu/exporter-rdma';
import { registerVfio } from '@dmabuf-emu/exporter-vfio';
import { registerImporters } from '@dmabuf-emu/importers';
import type { Machine } from '@dmabuf-emu/shm';
import { registerWitness } from './witness.ts';

/** Makes the code of every driver of a run available in this thread: any thread may have to run any of it. */
export function registerAll(machine: Machine): void {
  registerVfio(machine);
  registerRdma(machine);
  registerHeaps(machine);
  registerImporters(machine);
  registerWitness(machine);
}
