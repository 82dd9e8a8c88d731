import type { Device, DmaDirection, SgTable } from '@dmabuf-emu/core';

/** Who is about to use memory that a device has mapped. */
export type SyncFor = 'cpu' | 'device';

/**
 * Makes what one side wrote visible to the other. All devices here see the CPU's caches, so that nothing is to be done but to
 * trace it: buffer, device and direction. @kernel dma_sync_sgtable_for_cpu, dma_sync_sgtable_for_device
 */
export function dmaSyncSgTable(table: SgTable, device: Device, direction: DmaDirection, side: SyncFor): void {
  const { trace } = table.machine;
  if (!trace.on) return;
  const event = side === 'cpu' ? 'dma_sync_sgtable_for_cpu' : 'dma_sync_sgtable_for_device';
  trace.event(trace.name(event), table.ref, device.nameId, direction, 0);
}
