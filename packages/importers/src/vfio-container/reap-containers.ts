import type { Machine } from '@dmabuf-emu/shm';
import { ownedBy } from '../internal/owned-by.ts';
import { unpinUser } from '../user-memory/user-pins.ts';
import { ContainerStruct as C, VfioDmaStruct as D } from './container-structs.ts';

/** Lets go of the memory that containers of a dead task had mapped. Their domains keep translations until they end. */
export function reapContainers(machine: Machine, task: number): void {
  const { mem } = machine;
  for (const dma of ownedBy(machine, D, task)) {
    const pins = D.pins.get(mem, machine.slab(D).at(dma));
    machine.slab(D).free(dma, 'reap');
    unpinUser(machine, pins);
  }
  for (const container of ownedBy(machine, C, task)) machine.slab(C).free(container, 'reap');
}
