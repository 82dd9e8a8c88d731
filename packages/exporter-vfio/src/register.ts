import { registerDrivers } from '@dmabuf-emu/core';
import { registerPhysInterconnect } from '@dmabuf-emu/pci-iommu';
import type { Machine } from '@dmabuf-emu/shm';
import { vfioPciDriver } from './dma-buf/exporter-ops.ts';
import { iommufdMap } from './dma-buf/iommufd-map.ts';
import { knownCores, verifyVfio } from './dma-buf/verify.ts';
import { noteIrqFiles } from './irq/set-irqs.ts';

const REGISTERED = Symbol('exporter-vfio.registered');

/**
 * Makes this exporter's code available in the calling thread. Every thread that attaches to, maps or puts its buffers needs
 * it; opening or joining a device does it.
 */
export function registerVfio(machine: Machine): void {
  machine.local(REGISTERED, () => {
    registerDrivers(machine, [vfioPciDriver]);
    registerPhysInterconnect(machine, vfioPciDriver.name, iommufdMap);
    noteIrqFiles(machine, () => knownCores(machine));
    machine.onVerify('exporter-vfio', (report) => verifyVfio(machine, report));
    return true;
  });
}
