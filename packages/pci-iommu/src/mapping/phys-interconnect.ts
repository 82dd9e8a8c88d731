import type { Attachment, DmaBuf } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import type { PhysVec } from './phys-vec-to-sgt.ts';

const LOCATORS = Symbol('pci.phys-interconnects');

/**
 * Tells where the whole buffer is, as one physical range. Called with resv held.
 * @throws KernelError ENODEV while the buffer is revoked, EOPNOTSUPP when it is not one range
 */
export type PhysLocator = (attachment: Attachment) => PhysVec;

/**
 * Lets iommufd ask an exporter for physical addresses, in the calling thread. Registering again replaces.
 * @param exporter - name of the exporter's driver
 */
export function registerPhysInterconnect(machine: Machine, exporter: string, locate: PhysLocator): void {
  locators(machine).set(exporter, locate);
}

/** How to ask a buffer's exporter for physical addresses; `null` when it does not tell. */
export function physInterconnect(machine: Machine, dmabuf: DmaBuf): PhysLocator | null {
  return locators(machine).get(dmabuf.exporter.name) ?? null;
}

function locators(machine: Machine): Map<string, PhysLocator> {
  return machine.local(LOCATORS, () => new Map<string, PhysLocator>());
}
