import { orUndo } from '@dmabuf-emu/shm';
import type { RdmaCore } from '../device/rdma-core.ts';
import { EntryStruct as E } from '../mmap/entry-struct.ts';
import { putEntry, tryGetEntry } from '../mmap/entry-table.ts';
import { RdmaDmaBufStruct as D } from './dma-buf-struct.ts';
import { buffersOf, dmabufsLock, ExportedBuffer } from './exported-buffer.ts';

/**
 * The object of a buffer is destroyed: by its user, with the program's context, or with the buffer's last reference. Revokes
 * the buffer unless the driver's removal did so before, and lets go of the entry. False when somebody destroys it already.
 * @kernel uverbs_dmabuf_fd_destroy_uobj
 * @locks takes dmabufs_lock, in it the buffer's resv
 * @throws KernelError EOWNERDEAD when a task died with dmabufs_lock; UsageError when an importer of the buffer is not registered
 *   in this thread. It can be tried again then
 */
export function destroyObject(buffer: ExportedBuffer): boolean {
  const { machine, p, core } = buffer;
  if (D.destroyed.exchange(machine.mem, p, 1) !== 0) return false;
  const entry = D.entry.get(machine.mem, p);
  const entryAt = machine.slab(E).at(entry);
  orUndo(
    () => dmabufsLock(machine, entryAt).with(() => buffer.revoke(entryAt)),
    () => D.destroyed.store(machine.mem, p, 0),
  );
  D.entry.set(machine.mem, p, 0);
  putEntry(core, entry);
  return true;
}

/**
 * The driver takes an entry away: exports that are under way fail, its buffers are revoked one after the other. Drops the
 * reference of the entry's maker. False when it was removed before.
 * @kernel rdma_user_mmap_entry_remove
 * @locks takes dmabufs_lock, in it each buffer's resv; holds it while it waits for the buffers' users
 * @throws as {@link destroyObject}; buffers that were revoked by then stay so
 */
export function removeEntry(core: RdmaCore, entry: number): boolean {
  const { machine } = core;
  if (!tryGetEntry(core, entry)) return false;
  const entryAt = machine.slab(E).at(entry);
  const remove = (): boolean => {
    if (E.driverRemoved.exchange(machine.mem, entryAt, 1) !== 0) return false;
    core.trace('rdma_entry_remove', E.key.get(machine.mem, entryAt));
    orUndo(
      () => {
        for (const ref of buffersOf(machine, entryAt).members()) new ExportedBuffer(machine, ref).revoke(entryAt);
      },
      () => E.driverRemoved.store(machine.mem, entryAt, 0),
    );
    return true;
  };
  const removed = orUndo(
    () => dmabufsLock(machine, entryAt).with(remove),
    () => putEntry(core, entry),
  );
  if (removed) putEntry(core, entry);
  putEntry(core, entry);
  return removed;
}
