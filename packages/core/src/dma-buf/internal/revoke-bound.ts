import { UsageError } from '@dmabuf-emu/shm';
import { Device } from '../../device/device.ts';
import type { Fence } from '../../fence/index.ts';
import { ResvUsage } from '../../resv/index.ts';
import { SgTableStruct as T } from '../../sg/sg-table-struct.ts';
import type { DmaBuf } from '../dma-buf.ts';
import { violate } from '../rules.ts';
import { listMembers } from './list.ts';
import { DmaBufStruct as B } from './structs.ts';

/** How often, and how far apart in milliseconds, a report tries to take resv. */
const LOCK_TRIES = 50;
const LOCK_NAP_MS = 1;

/** Mappings of one importer that keep a revoker waiting. */
interface LateMapping {
  readonly importer: string;
  readonly device: string;
  readonly task: number;
  readonly taskName: string;
  tables: number;
  readonly detached: boolean;
}

/** Names the fences that keep a revoker waiting. @locks resv held */
export function reportLateFences(dmabuf: DmaBuf): void {
  const fences: string[] = [];
  const drivers = new Set<string>();
  dmabuf.resv.forEach(ResvUsage.BOOKKEEP, (fence) => {
    if (fence.signaledFlag()) return;
    fences.push(describeFence(fence));
    drivers.add(driverOf(fence));
  });
  if (fences.length === 0) return;
  violate(
    dmabuf,
    'fence-bound',
    `${fences.length} fences are not signalled ${dmabuf.state.revokeBoundMs} ms after the importers were told: ${fences.join('; ')}`,
    { step: '4', importer: [...drivers].join(', '), data: { fences } },
  );
}

/** A report does not fail because the fence's driver is unknown in this thread. */
function describeFence(fence: Fence): string {
  try {
    return fence.describe().trim();
  } catch (error) {
    if (error instanceof UsageError)
      return `${fence.context}:${fence.seqno} (its driver is not registered in this thread)`;
    throw error;
  }
}

function driverOf(fence: Fence): string {
  try {
    return fence.driverName();
  } catch (error) {
    if (error instanceof UsageError) return 'unknown';
    throw error;
  }
}

/** Names the importers that keep a revoker waiting. @locks takes resv, unless somebody sits on it */
export function reportLateUnmaps(dmabuf: DmaBuf, mapCount: number): void {
  const free = tryLockFor(dmabuf, LOCK_TRIES);
  const late = free ? lateMappings(dmabuf) : [];
  if (free) dmabuf.resv.unlock();
  if (free && late.length === 0) return;
  const importers = [...new Set(late.map(({ importer }) => importer))].join(', ') || 'unknown';
  const who = late.map(
    ({ importer, device, task, taskName, tables, detached }) =>
      `${importer} for ${device} (task ${task}, ${taskName}): ${tables}${detached ? ', detached' : ''}`,
  );
  violate(
    dmabuf,
    'unmap-bound',
    `${mapCount} mappings are not undone ${dmabuf.state.revokeBoundMs} ms after the fences: ${free ? who.join('; ') : 'unknown, resv is locked'}`,
    {
      step: '6',
      importer: importers,
      data: { mappings: late },
    },
  );
}

/** Importers that find the buffer revoked come and go; only somebody who sits on the lock keeps it for all these tries. */
function tryLockFor(dmabuf: DmaBuf, tries: number): boolean {
  const { machine } = dmabuf;
  for (let n = 0; n < tries; n++) {
    if (dmabuf.resv.tryLock()) return true;
    machine.wait(machine.root('core.report-nap', 16), 0, 'dma_buf_report', LOCK_NAP_MS);
  }
  return false;
}

function lateMappings(dmabuf: DmaBuf): LateMapping[] {
  const { machine, state } = dmabuf;
  const { mem, buffers, tables } = state;
  const late = new Map<string, LateMapping>();
  const add = (ref: number, detached: boolean): void => {
    const p = tables.at(ref);
    const task = T.ownerTask.get(mem, p);
    const importer = machine.drivers.name('importer', T.importer.get(mem, p)) || 'static';
    const device = Device.byRef(machine, T.device.get(mem, p)).name;
    const key = `${importer} ${device} ${task} ${detached}`;
    const known = late.get(key);
    if (known === undefined)
      late.set(key, { importer, device, task, taskName: machine.taskName(task), tables: 1, detached });
    else known.tables++;
  };
  for (const attachment of dmabuf.attachments()) for (const table of attachment.tables()) add(table.ref, false);
  for (const ref of listMembers(mem, tables, T, buffers.at(dmabuf.ref) + B.orphans.at)) add(ref, true);
  return [...late.values()];
}
