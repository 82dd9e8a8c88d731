import { dmaBufs } from '@dmabuf-emu/core';
import { PciCommand, PciSystem } from '@dmabuf-emu/pci-iommu';
import { KernelError, orUndo } from '@dmabuf-emu/shm';
import { RdmaDmaBufStruct as D } from '../dma-buf/dma-buf-struct.ts';
import { ExportedBuffer } from '../dma-buf/exported-buffer.ts';
import { EXP_NAME } from '../dma-buf/exporter-ops.ts';
import { destroyObject, removeEntry } from '../dma-buf/revoke.ts';
import { EntryStruct as E } from '../mmap/entry-struct.ts';
import { entries } from '../mmap/entry-table.ts';
import { OpenDevice } from './open-device.ts';
import type { RdmaCore } from './rdma-core.ts';
import { RdmaStruct as R } from './rdma-struct.ts';

/** Binds the driver and opens the device. @kernel ib_uverbs_open @throws KernelError EBUSY when it is open, EINVAL for a bridge */
export function openDevice(core: RdmaCore): OpenDevice {
  const { machine, fn } = core;
  if (fn.topology.isBridge) throw new KernelError('EINVAL', 'ib_register_device', `${fn.bdf} is a bridge`);
  PciSystem.of(machine).p2p.init(fn.topology);
  const before = core.session;
  const busy = (before & 1) === 1 || R.session.cas(machine.mem, core.p, before, before + 1) !== before;
  if (busy) throw new KernelError('EBUSY', 'ib_uverbs_open', `${fn.bdf} is open already`);
  fn.config.command |= PciCommand.MEMORY | PciCommand.MASTER;
  return new OpenDevice(core, before + 1);
}

/**
 * The program closes its context: the objects of its buffers are destroyed, then its entries.
 * @kernel uverbs_destroy_ufile_hw, RDMA_REMOVE_CLOSE
 * @throws KernelError EBADF, EIO when that was done before; UsageError when an importer is not registered in this thread, and
 *   the device stays open
 */
export function closeDevice(device: OpenDevice): void {
  endSession(device, false, () => {
    destroyObjects(device.core);
    removeEntries(device.core);
  });
}

/**
 * The driver is removed, by hot-unplug say: every entry goes, and its buffers are revoked.
 * @kernel ib_uverbs_remove_one, uverbs_destroy_ufile_hw, RDMA_REMOVE_DRIVER_REMOVE
 * @throws KernelError EBADF, EIO when the device was closed or removed before; UsageError as {@link closeDevice}
 */
export function removeDriver(device: OpenDevice): void {
  endSession(device, true, () => {
    removeEntries(device.core);
    device.core.fn.config.busMaster = false;
  });
}

/** Refuses new work, then tears down. When that fails the device is as open as before, and it can be tried again. */
function endSession(device: OpenDevice, removed: boolean, tearDown: () => void): void {
  const { core, session } = device;
  const { mem } = core.machine;
  device.check('ib_uverbs_close');
  if (removed) R.removedSession.store(mem, core.p, session);
  if (R.session.cas(mem, core.p, session, session + 1) !== session) device.check('ib_uverbs_close');
  orUndo(tearDown, () => {
    R.removedSession.store(mem, core.p, 0);
    R.session.cas(mem, core.p, session + 1, session);
  });
}

function destroyObjects(core: RdmaCore): void {
  const { machine } = core;
  for (const dmabuf of dmaBufs(machine)) {
    if (dmabuf.expName !== EXP_NAME) continue;
    const buffer = ExportedBuffer.of(dmabuf);
    const mine = D.device.get(machine.mem, buffer.p) === core.fn.index;
    if (mine && D.entry.get(machine.mem, buffer.p) !== 0) destroyObject(buffer);
  }
}

function removeEntries(core: RdmaCore): void {
  const { machine } = core;
  const slab = machine.slab(E);
  const present = core.entriesLock.with(() =>
    [...entries(core).members()].filter((ref) => E.driverRemoved.load(machine.mem, slab.at(ref)) === 0),
  );
  for (const ref of present) removeEntry(core, ref);
}
