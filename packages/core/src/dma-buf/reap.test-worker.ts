import { defineExporter, defineImporter, Device, DmaBuf, FdTable, registerDrivers, SgTable } from '@dmabuf-emu/core';
import { atomicStore, type Machine, Mutex } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';
import {
  obedientImporter,
  revocableExporter,
  revocableOf,
  stubbornImporter,
} from './revocable-exporter.test-worker.ts';

interface Args {
  readonly job:
    | 'use'
    | 'revoke'
    | 'revoke-error'
    | 'hold-reference'
    | 'share'
    | 'put-under-lock'
    | 'hold-resv'
    | 'hold-resv-when-told'
    | 'export-and-use';
  readonly dmabuf: number;
  readonly table: number;
  readonly maps: number;
  readonly fds: number;
  readonly pins?: number;
  readonly deaf?: boolean;
  readonly disowned?: boolean;
}

await runTestWorker<Args, unknown>((machine, args) => {
  registerDrivers(machine, [revocableExporter, obedientImporter, stubbornImporter]);
  const dmabuf = DmaBuf.of(machine, args.dmabuf);
  switch (args.job) {
    case 'use':
      use(machine, dmabuf, args);
      return stay(machine);
    case 'revoke':
      ready(machine);
      return revocableOf(dmabuf).revoke(dmabuf);
    case 'revoke-error':
      return revokeError(dmabuf);
    case 'hold-reference':
      dmabuf.get();
      return stay(machine);
    case 'share':
      FdTable.of(machine, args.table).join();
      dmabuf.get().fd();
      return stay(machine);
    case 'put-under-lock':
      new Mutex(machine, machine.root('test.lock', 16), 'test.lock').lock();
      dmabuf.put();
      return stay(machine);
    case 'hold-resv':
      use(machine, dmabuf, args);
      dmabuf.resv.lock();
      return stay(machine);
    case 'hold-resv-when-told':
      return holdWhenTold(machine, dmabuf);
    case 'export-and-use': {
      const own = exportPrivate(machine);
      own.attach(Device.register(machine, { name: 'private0', kind: 'platform' })).mapUnlocked(0);
      return stay(machine);
    }
  }
});

/** Attaches, maps and opens descriptors, and leaves it all open. */
function use(machine: Machine, dmabuf: DmaBuf, { maps, fds, deaf, disowned, pins = 0 }: Args): void {
  const device = Device.register(machine, { name: `victim${machine.tid}`, kind: 'platform' });
  const attachment = dmabuf.attachDynamic(device, deaf === true ? stubbornImporter : obedientImporter);
  for (let n = 0; n < maps; n++) attachment.mapUnlocked(0);
  dmabuf.resv.with(() => {
    for (let n = 0; n < pins; n++) attachment.pin();
    if (disowned === true) attachment.disown();
  });
  for (let n = 0; n < (fds ?? 0); n++) dmabuf.get().fd();
}

/** Maps, waits until a revoker waits for that mapping, then takes resv and stays. */
function holdWhenTold(machine: Machine, dmabuf: DmaBuf): void {
  use(machine, dmabuf, { maps: 1, deaf: true } as Args);
  ready(machine);
  const nap = machine.root('test.nap', 16);
  while (!machine.tasks().some((task) => task.waitingFor?.label === 'dma_buf.drained'))
    machine.wait(nap, 0, 'test.nap', 1);
  dmabuf.resv.lock();
  atomicStore(machine.mem, machine.root('test.locked', 16), 1);
  forever(machine);
}

function revokeError(dmabuf: DmaBuf): string {
  try {
    revocableOf(dmabuf).revoke(dmabuf);
    return 'done';
  } catch (error) {
    return String(error);
  }
}

function exportPrivate(machine: Machine): DmaBuf {
  const ops = defineExporter({
    name: 'test-private',
    map: (attachment) => SgTable.from(attachment.machine, [{ address: 4096, length: 4096 }], 'test-private.map'),
    unmap: (_, table) => table.free(),
    release: () => {},
  });
  registerDrivers(machine, [defineImporter({ name: 'test-unused', allowPeer2Peer: false })]);
  return DmaBuf.export(machine, { ops, priv: 1, size: 4096 });
}

/** Tells the test which task is in place. */
function ready(machine: Machine): void {
  atomicStore(machine.mem, machine.root('test.ready', 16), machine.tid);
}

function stay(machine: Machine): never {
  ready(machine);
  return forever(machine);
}

function forever(machine: Machine): never {
  for (;;) machine.wait(machine.root('test.nap', 16), 0, 'test.nap', 1000);
}
