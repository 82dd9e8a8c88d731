// A machine with the PCI topology of a server, for the cases that move data or translate addresses.
// Calls PciSystem.create(machine, { topology, iommu }); system.functions; function.iommu, function.dma; system.memory.
import { built } from '../lib/not-wired.mjs';
import { createMachine } from './machine.mjs';

export const PAGE = 4096;
const TOPOLOGY = 'genoa-4gpu';

/**
 * A system and one of its functions that is behind the IOMMU.
 * @param options.memoryBytes what its pages may take
 * @param options.checks look for stale translations and revoked mappings at every access
 */
export async function createSystem({ memoryBytes, arenaBytes = 64 << 20, checks = false }) {
  const { PciSystem, IommuProt } = await built('pci-iommu', ['PciSystem', 'IommuProt']);
  const machine = await createMachine({ memoryBytes, arenaBytes });
  const system = PciSystem.create(machine, { topology: TOPOLOGY, iommu: true, checks });
  const device = system.functions.find((f) => f.iommu?.type === 'dma');
  if (device === undefined) throw new Error(`no function of ${TOPOLOGY} has an IOMMU domain of type dma`);
  return { machine, system, device, readWrite: IommuProt.READ | IommuProt.WRITE };
}
