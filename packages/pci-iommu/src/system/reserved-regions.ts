import { KernelError } from '@dmabuf-emu/shm';
import { MESSAGE_WINDOW } from '../interrupts/index.ts';
import type { ReservedRange } from '../iommu/index.ts';
import type { CpuDescription, HostBridge } from '../topology/index.ts';

/** A range of IOVAs that the hardware keeps for itself. @kernel struct iommu_resv_region */
export interface ReservedRegion extends ReservedRange {
  readonly type: 'reserved' | 'msi';
}

const MSI: ReservedRegion = { type: 'msi', ...MESSAGE_WINDOW };
/** Addresses of HyperTransport that no memory has. */
const HYPER_TRANSPORT: ReservedRegion = { type: 'reserved', start: 0xfd_0000_0000, end: 0xff_ffff_ffff };

/** What the IOMMU of a processor reserves: writes to the message window are interrupts. @kernel iommu_get_resv_regions */
export function iommuReservedRegions(cpu: CpuDescription): readonly ReservedRegion[] {
  return cpu.vendor === 'AMD' || cpu.vendor === 'Hygon' ? [MSI, HYPER_TRANSPORT] : [MSI];
}

/**
 * IOVAs that the DMA API never gives out below a host bridge: what could be a peer's bus address, what its inbound ranges do
 * not cover, and what the IOMMU reserves.
 * @throws KernelError EINVAL for inbound ranges that overlap
 * @kernel iova_reserve_iommu_regions, iova_reserve_pci_windows
 */
export function reservedIovas(bridge: HostBridge, cpu: CpuDescription): readonly ReservedRange[] {
  const windows = bridge.windows.map(({ start, end, busOffset }) => ({
    start: start + busOffset,
    end: end + busOffset,
  }));
  return [...windows, ...inboundGaps(bridge), ...iommuReservedRegions(cpu)];
}

function inboundGaps(bridge: HostBridge): ReservedRange[] {
  const gaps: ReservedRange[] = [];
  let next = 0;
  for (const { start, end, busOffset } of bridge.dmaRanges) {
    const first = start + busOffset;
    if (first < next) {
      const text = `inbound ranges of ${bridge.name} overlap at 0x${first.toString(16)}`;
      throw new KernelError('EINVAL', 'iova_reserve_pci_windows', text);
    }
    if (first > next) gaps.push({ start: next, end: first - 1 });
    next = end + busOffset + 1;
  }
  if (next > 0) gaps.push({ start: next, end: 2 ** 48 - 1 });
  return gaps.filter(({ start, end }) => start <= end);
}
