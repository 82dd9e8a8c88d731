import { IommuDomain, PciSystem } from '@dmabuf-emu/pci-iommu';
import type { Machine } from '@dmabuf-emu/shm';
import { ownedBy } from '../internal/owned-by.ts';
import { unlessLost } from '../internal/unless-lost.ts';
import { unpinUser } from '../user-memory/user-pins.ts';
import { ContainerStruct as C, VfioDmaStruct as D } from './container-structs.ts';

/** Unmaps and lets go of the memory that containers of a dead task had mapped. Their domains stay, empty. */
export function reapContainers(machine: Machine, task: number): void {
  const { mem } = machine;
  for (const dma of ownedBy(machine, D, task)) {
    const p = machine.slab(D).at(dma);
    const [pins, domain] = [D.pins.get(mem, p), D.domain.get(mem, p)];
    if (domain !== 0) {
      const { map } = PciSystem.of(machine).memory;
      unlessLost(() => new IommuDomain(machine, map, domain).unmap(D.iova.get(mem, p), D.bytes.get(mem, p)));
    }
    machine.slab(D).free(dma, 'reap');
    unpinUser(machine, pins);
  }
  for (const container of ownedBy(machine, C, task)) machine.slab(C).free(container, 'reap');
}
