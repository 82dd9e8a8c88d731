import {
  type Attachment,
  defineExporter,
  DmaBuf,
  type Exporter,
  registerDrivers,
  REVOCABLE_FIELDS,
  RevocableExport,
  ResvUsage,
} from '@dmabuf-emu/core';
import { freeSgt, type PciFunction, PciSystem, physVecToSgt, registerPhysInterconnect } from '@dmabuf-emu/pci-iommu';
import { i32, KernelError, type Machine, struct, u53 } from '@dmabuf-emu/shm';

/** A piece of a BAR as a buffer. */
const BarBuffer = struct('test_bar_buffer', {
  fn: i32(),
  bar: i32(),
  paddr: u53(),
  length: u53(),
  split: u53(),
  ...REVOCABLE_FIELDS,
});
const S = BarBuffer;

/** What an exporter of these tests refuses. */
interface Policy {
  readonly needsRevocable: boolean;
  readonly refusesPin: boolean;
}

function at(buffer: DmaBuf): number {
  return buffer.machine.slab(S).at(buffer.priv);
}

/** The revoking half of a buffer. */
export function revocableOf(buffer: DmaBuf): RevocableExport {
  return new RevocableExport(buffer.machine, at(buffer), S);
}

function barExporter(name: string, { needsRevocable, refusesPin }: Policy): Exporter {
  return defineExporter({
    name,
    attach(buffer, attachment) {
      if (!needsRevocable) return;
      if (!attachment.peer2peer)
        throw new KernelError('EOPNOTSUPP', 'attach', 'the importer does not take peer addresses');
      if (revocableOf(buffer).revoked) throw new KernelError('ENODEV', 'attach', 'revoked');
      if (!attachment.isRevocable()) throw new KernelError('EOPNOTSUPP', 'attach', 'the importer cannot be revoked');
    },
    ...(refusesPin
      ? {
          pin() {
            throw new KernelError('EOPNOTSUPP', 'pin', 'cannot be pinned');
          },
          unpin() {},
        }
      : {}),
    map(attachment, direction) {
      const { dmabuf: buffer, machine } = attachment;
      const p = at(buffer);
      if (revocableOf(buffer).revoked) throw new KernelError('ENODEV', 'map', 'revoked');
      const pci = PciSystem.of(machine);
      const provider = pci.p2p.provider(pci.functions[S.fn.get(machine.mem, p)]!.topology, S.bar.get(machine.mem, p));
      const [paddr, length] = [S.paddr.get(machine.mem, p), S.length.get(machine.mem, p)];
      const split = S.split.get(machine.mem, p);
      const ranges =
        split === 0
          ? [{ paddr, len: length }]
          : [
              { paddr, len: split },
              { paddr: paddr + split, len: length - split },
            ];
      const table = physVecToSgt(attachment, provider, ranges, length, direction);
      revocableOf(buffer).mapped();
      return table;
    },
    unmap(attachment, table, direction) {
      freeSgt(attachment, table, direction);
      revocableOf(attachment.dmabuf).unmapped();
    },
    release(buffer) {
      buffer.machine.slab(S).free(buffer.priv);
    },
  });
}

/** Accepts only what it can revoke, pins without asking: like VFIO. */
export const vfioLike = barExporter('vfio-like', { needsRevocable: true, refusesPin: false });
/** Accepts whoever takes peer addresses, refuses to pin: like an RDMA device's memory. */
export const rdmaLike = barExporter('rdma-like', { needsRevocable: false, refusesPin: true });
/** Accepts everybody. */
export const laxExporter = barExporter('lax', { needsRevocable: false, refusesPin: false });

/** Makes these exporters available in the calling thread. */
export function registerBarExporters(machine: Machine): void {
  registerDrivers(machine, [vfioLike, rdmaLike, laxExporter]);
  for (const exporter of [vfioLike, laxExporter]) {
    registerPhysInterconnect(machine, exporter.name, (attachment: Attachment) => {
      const { dmabuf: buffer } = attachment;
      const { mem } = machine;
      if (revocableOf(buffer).revoked) throw new KernelError('ENODEV', 'iommufd_map', 'revoked');
      if (S.split.get(mem, at(buffer)) !== 0) throw new KernelError('EOPNOTSUPP', 'iommufd_map', 'two ranges');
      return { paddr: S.paddr.get(mem, at(buffer)), len: S.length.get(mem, at(buffer)) };
    });
  }
}

/** What to export. */
export interface BarRange {
  readonly exporter: Exporter;
  readonly fn: PciFunction;
  readonly bar: number;
  readonly offset: number;
  readonly length: number;
  /** Cut into two ranges at this offset. */
  readonly split?: number;
}

/** A buffer over part of a BAR; the caller owns its one reference. */
export function exportBar(machine: Machine, { exporter, fn, bar, offset, length, split = 0 }: BarRange): DmaBuf {
  PciSystem.of(machine).p2p.init(fn.topology);
  const slab = machine.slab(S);
  const ref = slab.alloc('test_bar_buffer');
  const p = slab.at(ref);
  S.fn.set(machine.mem, p, fn.index);
  S.bar.set(machine.mem, p, bar);
  S.paddr.set(machine.mem, p, fn.bar(bar)!.start + offset);
  S.length.set(machine.mem, p, length);
  S.split.set(machine.mem, p, split);
  RevocableExport.init(machine, p, S);
  return DmaBuf.export(machine, { ops: exporter, priv: ref, size: length });
}

/** Takes a buffer back, both waits included. */
export function revoke(buffer: DmaBuf): boolean {
  const pci = PciSystem.of(buffer.machine);
  return revocableOf(buffer).revoke(buffer, {
    onRevoked: () => void pci.grantInvalidate(buffer.ref),
    onFencesRetired: () => void pci.grantRetire(buffer.ref),
  });
}

export function unrevoke(buffer: DmaBuf): boolean {
  return revocableOf(buffer).unrevoke(buffer);
}

/** The first half of a revoke: up to and with the wait for fences. */
export function beginRevoke(buffer: DmaBuf): void {
  const { machine } = buffer;
  const pci = PciSystem.of(machine);
  buffer.resv.with(() => {
    S.revoked.store(machine.mem, at(buffer), 1);
    pci.grantInvalidate(buffer.ref);
    buffer.invalidateMappings();
    buffer.resv.wait(ResvUsage.BOOKKEEP);
    pci.grantRetire(buffer.ref);
  });
  revocableOf(buffer).unmapped();
}

/** The second half: waits until nothing is mapped. */
export function endRevoke(buffer: DmaBuf): void {
  revocableOf(buffer).waitUnmapped(buffer);
  revocableOf(buffer).rearm();
}
