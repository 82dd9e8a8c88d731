import {
  attachmentOf,
  defineExporter,
  defineImporter,
  type DmaBuf,
  DmaBuf as Buffer,
  type Exporter,
  type Importer,
  REVOCABLE_FIELDS,
  RevocableExport,
  SgTable,
} from '@dmabuf-emu/core';
import { atomicAdd, i32, KernelError, type Machine, struct } from '@dmabuf-emu/shm';

/** An exporter's own struct, as VFIO's: what to revoke, and how often it was mapped while it must not be. */
export const RevocableStruct = struct('test_revocable', { ...REVOCABLE_FIELDS, maps: i32(), live: i32() });
const S = RevocableStruct;

/** The revocable part of the buffer's exporter. */
export function revocableOf(dmabuf: DmaBuf): RevocableExport {
  const { machine } = dmabuf;
  return new RevocableExport(machine, machine.slab(S).at(dmabuf.priv), S);
}

/** Successful maps so far, and tables live now, counted beside the core. */
export function mapsOf(dmabuf: DmaBuf): { maps: number; live: number } {
  const { machine } = dmabuf;
  const p = machine.slab(S).at(dmabuf.priv);
  return { maps: S.maps.load(machine.mem, p), live: S.live.load(machine.mem, p) };
}

/** A VFIO-like exporter: refuses importers that cannot be told, and maps while it is revoked. */
export const revocableExporter: Exporter = defineExporter({
  name: 'test-revocable',
  attach(dmabuf, attachment) {
    if (!attachment.peer2peer) throw new KernelError('EOPNOTSUPP', 'attach', 'not peer to peer');
    if (revocableOf(dmabuf).revoked) throw new KernelError('ENODEV', 'attach', 'revoked');
    if (!attachment.isRevocable()) throw new KernelError('EOPNOTSUPP', 'attach', 'not revocable');
  },
  map(attachment) {
    const { machine, dmabuf } = attachment;
    const revocable = revocableOf(dmabuf);
    if (revocable.revoked) throw new KernelError('ENODEV', 'map', 'revoked');
    const table = SgTable.from(machine, [{ address: 2 ** 40, length: dmabuf.size }], 'test-revocable.map');
    revocable.mapped();
    count(dmabuf, 1);
    return table;
  },
  unmap(attachment, table) {
    table.free();
    count(attachment.dmabuf, -1);
    revocableOf(attachment.dmabuf).unmapped();
  },
  release(dmabuf) {
    dmabuf.machine.slab(S).free(dmabuf.priv);
  },
});

/** Makes a buffer of that exporter. */
export function exportRevocable(machine: Machine, size = 65536): DmaBuf {
  const slab = machine.slab(S);
  const priv = slab.alloc('test_revocable');
  RevocableExport.init(machine, slab.at(priv), S);
  return Buffer.export(machine, { ops: revocableExporter, priv, size });
}

/** An importer that unmaps when told: its word is the ref of the live table, 0 for none. */
export const obedientImporter: Importer = defineImporter({
  name: 'test-obedient',
  allowPeer2Peer: true,
  invalidateMappings(attachment) {
    if (attachment.importerPriv === 0) return;
    attachment.unmap(SgTable.of(attachment.machine, attachment.importerPriv), 0);
    attachment.importerPriv = 0;
  },
});

/** An importer that hears and does nothing. */
export const stubbornImporter: Importer = defineImporter({
  name: 'test-stubborn',
  allowPeer2Peer: true,
  invalidateMappings() {},
});

/** Maps for the obedient importer. @locks resv held */
export function mapObedient(machine: Machine, attachment: number): void {
  const a = attachmentOf(machine, attachment);
  a.importerPriv = a.map(0).ref;
}

function count(dmabuf: DmaBuf, by: number): void {
  const { machine } = dmabuf;
  const p = machine.slab(S).at(dmabuf.priv);
  if (by > 0) atomicAdd(machine.mem, p + S.maps.at, 1);
  atomicAdd(machine.mem, p + S.live.at, by);
}
