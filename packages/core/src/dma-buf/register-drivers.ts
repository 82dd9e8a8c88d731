import { type Machine, UsageError } from '@dmabuf-emu/shm';
import { prepareDmaBufs } from './dma-buf.ts';
import { type Driver, registerDriver } from './drivers.ts';

/**
 * Makes the code of these drivers available in the calling thread. Each thread that maps, unmaps, revokes or closes buffers
 * needs the drivers of these buffers' exporters, and a revoker those of their importers.
 */
export function registerDrivers(machine: Machine, drivers: readonly Driver[]): void {
  prepareDmaBufs(machine);
  for (const driver of drivers) {
    if (typeof driver?.kind !== 'string' || typeof driver.name !== 'string') {
      throw new UsageError('registerDrivers expects what defineExporter, defineImporter and their like return');
    }
    registerDriver(machine, driver);
  }
}
