import type { Machine } from '@dmabuf-emu/shm';
import { registerPageHolders, verifyMemory } from './verify.ts';
import { verifyVmaps } from './vmap.ts';

const PREPARED = Symbol('exporter-heap.memory');

/** Makes this room's checks known in the calling thread, once. */
export function prepareMemory(machine: Machine): void {
  machine.local(PREPARED, () => {
    registerPageHolders(machine);
    machine.onVerify('exporter-heap.memory', (report) => {
      verifyMemory(machine, report);
      verifyVmaps(machine, report);
    });
    return true;
  });
}
