import { DmaBuf } from '@dmabuf-emu/core';
import { type Machine, taskIsDead, type VerifyBuilder } from '@dmabuf-emu/shm';
import { RdmaCore, ROOT_PREFIX } from './device/rdma-core.ts';
import { RdmaDmaBufStruct as D } from './dma-buf/dma-buf-struct.ts';
import { buffersOf, ExportedBuffer } from './dma-buf/exported-buffer.ts';
import { EntryStruct as E } from './mmap/entry-struct.ts';
import { entries } from './mmap/entry-table.ts';

/** Proves on a quiet machine that entries, buffers, lists and counts agree. */
export function verifyRdma(machine: Machine, report: VerifyBuilder): void {
  const { mem } = machine;
  const usersOf = new Map<number, number>();
  for (const ref of machine.slab(D).live()) {
    const buffer = new ExportedBuffer(machine, ref);
    report.count('rdma.buffer', 1);
    verifyBuffer(buffer, report);
    const entry = D.entry.get(mem, buffer.p);
    if (entry !== 0) usersOf.set(entry, (usersOf.get(entry) ?? 0) + 1);
  }
  const slab = machine.slab(E);
  for (const name of machine.arena.rootNames(ROOT_PREFIX)) {
    const core = RdmaCore.of(machine, Number(name.slice(ROOT_PREFIX.length)));
    for (const ref of entries(core).members()) {
      const p = slab.at(ref);
      const removed = E.driverRemoved.load(mem, p) !== 0;
      const users = usersOf.get(ref) ?? 0;
      const text = `rdma entry ${ref} of ${core.fn.bdf}`;
      report.count('rdma.entry', 1);
      const refs = E.refs.load(mem, p);
      const found = (what: string): void => {
        if (machine.tainted) report.damage('rdma', `${text} ${what}`);
        else report.error(`${text} ${what}`);
      };
      if (refs !== users + (removed ? 0 : 1)) found(`has ${refs} references, by count ${users + (removed ? 0 : 1)}`);
      if (removed && [...buffersOf(machine, p).members()].length > 0) found('was removed and still lists buffers');
    }
  }
}

function verifyBuffer(buffer: ExportedBuffer, report: VerifyBuilder): void {
  const { machine, p, ref, revocable } = buffer;
  const text = `rdma buffer ${ref}`;
  if (buffer.lost) return report.damage('rdma', `${text} was lost with a dead task`);
  const dmabuf = DmaBuf.of(machine, D.dmabuf.get(machine.mem, p));
  if (dmabuf.label === 'gone') {
    const owner = machine.slab(D).ownerOf(ref, D.ownerTask.get(machine.mem, p));
    if (taskIsDead(machine, owner)) report.damage('rdma', `${text} was being exported by task ${owner}, which died`);
    else report.leak('rdma', `${text} has no dma-buf`);
    return;
  }
  if (dmabuf.priv !== ref) report.error(`${text} is not what its dma-buf ${dmabuf.label} names`);
  if (D.listed.get(machine.mem, p) === 0 && !revocable.revoked)
    report.error(`${text} left its entry without being revoked`);
  if (revocable.revoked && revocable.mapCount > 1)
    report.error(`${text} is revoked with ${revocable.mapCount - 1} live mappings`);
}
