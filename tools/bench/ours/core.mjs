// What the cases over fences, buffers and sync_files have in common: drivers that do what they must, and makers of objects.
import { built } from '../lib/not-wired.mjs';
import { createMachine } from './machine.mjs';

const EXPORTS = [
  'Device',
  'DmaBuf',
  'Fence',
  'FdTable',
  'PollEvents',
  'Resv',
  'ResvUsage',
  'SgTable',
  'SyncFile',
  'defineExporter',
  'defineFenceOps',
  'fenceContextAlloc',
  'fenceCreate',
  'fencePut',
  'fenceSignal',
  'mergeFences',
  'poll',
  'registerDrivers',
];
const BUFFER_BYTES = 65_536;

/** A machine with a fence driver, an exporter and a device; all exports of core are properties of the result. */
export async function openCore(arenaBytes) {
  const core = await built('core', EXPORTS);
  const machine = await createMachine({ arenaBytes });
  const exporter = core.defineExporter({
    name: 'bench',
    map: () => core.SgTable.from(machine, [{ address: 2 ** 32, length: BUFFER_BYTES }], 'bench.map'),
    unmap: (_attachment, table) => table.free('bench.map'),
    release() {},
  });
  core.registerDrivers(machine, [exporter]);
  const device = core.Device.register(machine, { name: 'bench', kind: 'platform' });
  const ops = core.defineFenceOps({ name: 'bench', getDriverName: () => 'bench', getTimelineName: () => 'bench' });
  return { ...core, machine, exporter, device, ops };
}

/** A pending fence of a timeline of its own. */
export function newFence(core) {
  const { machine, ops } = core;
  return core.Fence.of(machine, core.fenceCreate(machine, { ops, context: core.fenceContextAlloc(machine), seqno: 1 }));
}

export function newBuffer(core) {
  return core.DmaBuf.export(core.machine, { ops: core.exporter, priv: 1, size: BUFFER_BYTES });
}

export function addToResv(core, resv, fence) {
  resv.lock();
  resv.reserveFences(1);
  resv.addFence(fence, core.ResvUsage.WRITE);
  resv.unlock();
}
