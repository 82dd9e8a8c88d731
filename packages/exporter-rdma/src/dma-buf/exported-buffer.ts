import { DmaBuf, RevocableExport } from '@dmabuf-emu/core';
import { PciSystem } from '@dmabuf-emu/pci-iommu';
import { isKernelError, type Machine, type Mutex, mutexOf } from '@dmabuf-emu/shm';
import { RdmaCore } from '../device/rdma-core.ts';
import { SlabList } from '../internal/list.ts';
import { EntryStruct as E } from '../mmap/entry-struct.ts';
import { RdmaDmaBufStruct as D } from './dma-buf-struct.ts';

/** A handle on the exporter's side of a buffer. @kernel ib_uverbs_dmabuf_file */
export class ExportedBuffer {
  readonly machine: Machine;
  readonly ref: number;
  /** Word of the struct. */
  readonly p: number;
  readonly revocable: RevocableExport;

  constructor(machine: Machine, ref: number) {
    this.machine = machine;
    this.ref = ref;
    this.p = machine.slab(D).at(ref);
    this.revocable = new RevocableExport(machine, this.p, D);
  }

  static of(dmabuf: DmaBuf): ExportedBuffer {
    return new ExportedBuffer(dmabuf.machine, dmabuf.priv);
  }

  get core(): RdmaCore {
    return RdmaCore.of(this.machine, D.device.get(this.machine.mem, this.p));
  }

  get lost(): boolean {
    return D.lost.load(this.machine.mem, this.p) !== 0;
  }

  /**
   * Takes the memory back for good, and the buffer off its entry's list. Returns when nobody uses it; does nothing more when it
   * was revoked before. A buffer that a dead task made unrevocable is left behind, and reported.
   * @locks dmabufs_lock of the entry held; takes resv
   * @throws UsageError when an importer of the buffer is not registered in this thread; it stays on the list then
   */
  revoke(entryAt: number): void {
    const { machine, p } = this;
    const dmabuf = DmaBuf.of(machine, D.dmabuf.get(machine.mem, p));
    try {
      if (!this.lost) this.#takeBack(dmabuf);
    } catch (error) {
      if (!isKernelError(error, 'EOWNERDEAD')) throw error;
      this.lose(dmabuf, error.message);
    }
    if (D.listed.get(machine.mem, p) === 0) return;
    buffersOf(machine, entryAt).remove(this.ref);
    D.listed.set(machine.mem, p, 0);
  }

  /** There is no telling any more when the memory is unused: it stays revoked, and others go on without it. */
  lose(dmabuf: DmaBuf, reason: string): void {
    D.revoked.store(this.machine.mem, this.p, 1);
    D.lost.store(this.machine.mem, this.p, 1);
    this.machine.diag.info('rdma-buffer-lost', `buffer ${dmabuf.label} cannot be revoked: ${reason}`);
  }

  #takeBack(dmabuf: DmaBuf): void {
    const { core } = this;
    const pci = PciSystem.of(this.machine);
    this.revocable.revoke(dmabuf, {
      onRevoked: () => {
        core.trace('rdma_revoke', dmabuf.ino | 0);
        pci.grantInvalidate(dmabuf.ref);
      },
      onFencesRetired: () => void pci.grantRetire(dmabuf.ref),
    });
  }
}

/** Buffers of the entry at word `entryAt`. @locks its dmabufs_lock held */
export function buffersOf(machine: Machine, entryAt: number): SlabList {
  const fields = { first: E.firstBuffer, last: E.lastBuffer, next: D.next, prev: D.prev };
  return new SlabList(machine.mem, machine.slab(D), entryAt, fields);
}

/** Guards the buffers of an entry; outside their resv. @kernel rdma_user_mmap_entry.dmabufs_lock */
export function dmabufsLock(machine: Machine, entryAt: number): Mutex {
  return mutexOf(machine, entryAt, E.dmabufsLock);
}
