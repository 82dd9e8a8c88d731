import type { Device, DmaDirection, SgTable } from '@dmabuf-emu/core';
import {
  type DmaDevice,
  dmaIovaDestroy,
  dmaIovaFree,
  dmaIovaLink,
  type DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaMapPhys,
  dmaMappingError,
  dmaUnmapPhys,
  PciSystem,
} from '@dmabuf-emu/pci-iommu';
import { isKernelError, KernelError, orUndo } from '@dmabuf-emu/shm';
import type { PageRun } from './page-list.ts';

const SITE = 'dma_map_sgtable';
/** No joined entry crosses a multiple of this. @kernel dma_get_seg_boundary */
const SEGMENT_BOUNDARY = 2 ** 32;

/**
 * Maps pages of RAM for a device and fills `table` with the DMA entries. Through an IOMMU they are one range of IOVAs, in
 * which neighbours are joined up to the device's longest segment; without one, and for devices that are not on PCI, each run keeps its physical
 * address. Uses both private numbers of the table.
 *
 * @param table has room for as many entries as there are runs
 * @param runs in the buffer's order, whole pages
 * @kernel dma_map_sgtable
 * @throws KernelError EIO when the device cannot reach a page, ENOMEM when IOVAs or page tables run out, EINVAL. Nothing is
 * mapped then
 */
export function dmaMapSgTable(table: SgTable, device: Device, runs: readonly PageRun[], direction: DmaDirection): void {
  const client = clientOf(device);
  table.origNents = runs.length;
  table.setPrivNumber(0, 0);
  table.setPrivNumber(1, 0);
  if (client?.iommu.isDma) mapTranslated(table, device, client, runs, direction);
  else mapDirect(table, device, client, runs, direction);
}

/** Takes a mapping of {@link dmaMapSgTable} back. The table stays. @kernel dma_unmap_sgtable */
export function dmaUnmapSgTable(table: SgTable, device: Device): void {
  const client = clientOf(device);
  const state: DmaIovaState = { addr: table.privNumber(0), size: table.privNumber(1) };
  table.setPrivNumber(1, 0);
  table.nents = 0;
  if (client === null || state.size === 0) return;
  try {
    dmaUnmapPhys(client, state.addr, state.size);
  } catch (error) {
    // An unmap cannot fail. Where a task died with the domain's lock, the translations stay: they are damage.
    if (!isKernelError(error, 'EOWNERDEAD')) throw error;
    client.machine.diag.info('iommu-lost', `a mapping of ${client.bdf} stays in its domain: ${error.message}`);
  }
}

function clientOf(device: Device): DmaDevice | null {
  return PciSystem.of(device.machine).functionOfDevice(device);
}

/** @kernel iommu_dma_map_sg */
function mapTranslated(
  table: SgTable,
  device: Device,
  client: DmaDevice,
  runs: readonly PageRun[],
  direction: DmaDirection,
): void {
  const size = runs.reduce((sum, { len }) => sum + len, 0);
  const state: DmaIovaState = { addr: 0, size: 0 };
  if (!dmaIovaTryAlloc(client, state, 0, size)) {
    throw new KernelError('ENOMEM', SITE, `${client.bdf}: no ${size} bytes of IOVAs are free`);
  }
  let linked = 0;
  orUndo(
    () => {
      try {
        for (const { paddr, len } of runs) {
          dmaIovaLink(client, state, paddr, linked, len, direction, {});
          linked += len;
        }
        dmaIovaSync(client, state, 0, linked);
      } catch (error) {
        if (!isKernelError(error) || error.code === 'ENOMEM' || error.code === 'EOWNERDEAD') throw error;
        throw new KernelError('EINVAL', SITE, error.message);
      }
    },
    () => (linked > 0 ? dmaIovaDestroy(client, state, linked) : dmaIovaFree(client, state)),
  );
  fillJoined(table, state.addr, runs, device.maxSegmentSize);
  table.setPrivNumber(0, state.addr);
  table.setPrivNumber(1, size);
}

/** One entry for neighbours that together are short enough. @kernel __finalise_sg, dma_get_max_seg_size */
function fillJoined(table: SgTable, iova: number, runs: readonly PageRun[], longest: number): void {
  let count = 0;
  let address = iova;
  let start = iova;
  for (const { len } of runs) {
    const joined = address + len - start;
    if (count > 0 && address % SEGMENT_BOUNDARY !== 0 && joined <= longest) {
      table.setEntry(count - 1, start, joined);
    } else {
      start = address;
      table.setEntry(count++, start, len);
    }
    address += len;
  }
  table.nents = count;
}

/** @kernel dma_direct_map_sg */
function mapDirect(
  table: SgTable,
  device: Device,
  client: DmaDevice | null,
  runs: readonly PageRun[],
  direction: DmaDirection,
): void {
  runs.forEach(({ paddr, len }, i) => {
    const reachable = client === null ? paddr + len - 1 <= device.dmaMask : canReach(client, paddr, len, direction);
    if (!reachable) throw new KernelError('EIO', SITE, `${device.name} cannot reach 0x${paddr.toString(16)}+${len}`);
    table.setEntry(i, paddr, len);
  });
  table.nents = runs.length;
}

function canReach(client: DmaDevice, paddr: number, len: number, direction: DmaDirection): boolean {
  return !dmaMappingError(dmaMapPhys(client, paddr, len, direction, {}));
}
