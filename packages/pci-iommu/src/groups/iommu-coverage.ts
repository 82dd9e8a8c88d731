import type { Topology, TopologyFunction } from '../topology/index.ts';

const AMD = 0x1022;
const IOMMU_CLASS = 0x0806;
const IOMMU_DEVFN = 2;

/**
 * Whether an IOMMU sees a function's requests. On AMD the IOMMU is a function of the root bus, 00.2, and what the firmware
 * tells of it starts behind it: neither it nor the root complex before it has a group.
 */
export function behindIommu(topology: Topology, fn: TopologyFunction): boolean {
  if (topology.upstreamBridge(fn) !== null || fn.devfn > IOMMU_DEVFN) return true;
  return !topology
    .rootBusFunctions(fn.hostBridge)
    .some(
      ({ devfn, vendor, classCode }) =>
        devfn === IOMMU_DEVFN && vendor === AMD && (classCode ?? 0) >>> 8 === IOMMU_CLASS,
    );
}
