import { type DmaBuf, type DmaDirection, SgTable } from '@dmabuf-emu/core';
import { KernelError, orUndo } from '@dmabuf-emu/shm';
import { dmaMapSgTable, dmaUnmapSgTable } from '../memory/dma-map-sg.ts';
import { dmaSyncSgTable } from '../memory/dma-sync.ts';
import { HEAP_QUIRKS } from '../quirks.ts';
import { udmabufDevice } from './device.ts';
import { pagesOf } from './pages-of.ts';
import { UdmabufStruct as U } from './udmabuf-struct.ts';

/**
 * The first access maps the buffer for the misc device; that mapping stays until the buffer goes, with the direction that it
 * was made for.
 * @kernel begin_cpu_udmabuf
 * @throws KernelError ENOMEM
 */
export function beginCpuAccess(dmabuf: DmaBuf, direction: DmaDirection): void {
  const { machine } = dmabuf;
  const device = udmabufDevice(machine);
  const before = tableOf(dmabuf);
  const table = before ?? firstTable(dmabuf, direction);
  if (before === undefined && HEAP_QUIRKS.has(machine, 'udmabuf.firstSyncSkipped')) return;
  dmaSyncSgTable(table, device, direction, 'cpu');
}

/** @kernel end_cpu_udmabuf @throws KernelError EINVAL before the first {@link beginCpuAccess} */
export function endCpuAccess(dmabuf: DmaBuf, direction: DmaDirection): void {
  const table = tableOf(dmabuf);
  if (table === undefined) throw new KernelError('EINVAL', 'end_cpu_udmabuf', 'CPU access was never begun');
  dmaSyncSgTable(table, udmabufDevice(dmabuf.machine), direction, 'device');
}

/** Undoes what the first access did. Nobody else can have the buffer. */
export function dropTable(dmabuf: DmaBuf): void {
  const table = tableOf(dmabuf);
  if (table !== undefined) freeTable(dmabuf, table);
}

function tableOf({ machine, priv }: DmaBuf): SgTable | undefined {
  const table = U.table.load(machine.mem, machine.slab(U).at(priv));
  return table === 0 ? undefined : new SgTable(machine, table);
}

/** The table of whoever is first: the other one frees its own. */
function firstTable(dmabuf: DmaBuf, direction: DmaDirection): SgTable {
  const { machine, priv } = dmabuf;
  const pages = pagesOf(machine, priv);
  const table = SgTable.alloc(machine, pages.count, 'begin_cpu_udmabuf');
  orUndo(
    () => dmaMapSgTable(table, udmabufDevice(machine), pages.pages(), direction),
    () => table.free('begin_cpu_udmabuf'),
  );
  if (U.table.cas(machine.mem, machine.slab(U).at(priv), 0, table.ref) === 0) return table;
  freeTable(dmabuf, table);
  return tableOf(dmabuf)!;
}

function freeTable({ machine }: DmaBuf, table: SgTable): void {
  dmaUnmapSgTable(table, udmabufDevice(machine));
  table.free('put_sg_table');
}
