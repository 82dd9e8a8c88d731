import {
  type Attachment,
  attachmentOf,
  DmaBuf,
  type Device,
  DmaDirection,
  type Importer,
  type Resv,
  ResvUsage,
  SgTable,
} from '@dmabuf-emu/core';
import { KernelError, type Machine, orUndo, taskIsDead } from '@dmabuf-emu/shm';
import { unlessLost } from '../internal/unless-lost.ts';
import { DmaWindow } from '../payload/dma-window.ts';
import { revokeHook } from './revoke-hooks.ts';
import { pageWindow, restoreTable, type Trim, trimTable } from './trim-window.ts';
import { UmemStruct as U } from './umem-struct.ts';

/** Which bytes of which buffer, for which device. */
export interface UmemInfo {
  readonly device: Device;
  /** A buffer, or a file descriptor of the calling task's process. */
  readonly dmabuf: DmaBuf | number;
  readonly offset: number;
  readonly length: number;
}

/**
 * A window of a buffer as memory of an RDMA memory region: the part that RDMA drivers share. A handle over the struct behind
 * `ref`; any task may use it, since callbacks run in the revoker's.
 * @kernel ib_umem_dmabuf
 */
export class Umem {
  readonly machine: Machine;
  readonly ref: number;
  readonly attachment: Attachment;
  readonly #p: number;

  /** The umem behind `ref`, which must be alive. */
  constructor(attachment: Attachment, ref: number) {
    this.machine = attachment.machine;
    this.ref = ref;
    this.attachment = attachment;
    this.#p = this.machine.slab(U).at(ref);
  }

  static of(machine: Machine, ref: number): Umem {
    return new Umem(attachmentOf(machine, U.attachment.get(machine.mem, machine.slab(U).at(ref))), ref);
  }

  /**
   * The umem of an attachment made by one of these functions; undefined once it is gone, or its task is dead: then the core
   * ends its mappings.
   */
  static ofAttachment(attachment: Attachment): Umem | undefined {
    const { machine, importerPriv: ref } = attachment;
    const p = machine.slab(U).tryAt(ref);
    return p === 0 || taskIsDead(machine, U.task.get(machine.mem, p)) ? undefined : new Umem(attachment, ref);
  }

  get dmabuf(): DmaBuf {
    return this.attachment.dmabuf;
  }

  get resv(): Resv {
    return this.dmabuf.resv;
  }

  /** @locks resv held */
  get mapped(): boolean {
    return U.sgt.load(this.machine.mem, this.#p) !== 0;
  }

  /** Set for good once it was revoked. */
  get revoked(): boolean {
    return U.revoked.load(this.machine.mem, this.#p) !== 0;
  }

  get pinned(): boolean {
    return U.pinned.get(this.machine.mem, this.#p) !== 0;
  }

  /** The driver's word. @kernel ib_umem_dmabuf.private */
  get priv(): number {
    return U.priv.load(this.machine.mem, this.#p);
  }

  set priv(value: number) {
    U.priv.store(this.machine.mem, this.#p, value);
  }

  /** The live mapping, cut down to the window; undefined when there is none. @locks resv held */
  get table(): SgTable | undefined {
    const sgt = U.sgt.load(this.machine.mem, this.#p);
    return sgt === 0 ? undefined : SgTable.of(this.machine, sgt);
  }

  /** Which entries of the table the window has. @locks resv held */
  get trim(): Trim {
    const { mem } = this.machine;
    return {
      first: U.firstSg.get(mem, this.#p),
      nents: U.nents.get(mem, this.#p),
      firstOffset: U.firstOffset.get(mem, this.#p),
      lastTrim: U.lastTrim.get(mem, this.#p),
    };
  }

  /**
   * Maps the whole window if it is not mapped, then waits for the exporter's own work (KERNEL fences).
   * When the wait fails, the mapping stays.
   * @kernel ib_umem_dmabuf_map_pages
   * @locks resv held
   * @throws KernelError EINVAL once revoked for good; the exporter's errno.
   */
  mapPages(): void {
    this.resv.assertHeld('ib_umem_dmabuf_map_pages');
    if (this.revoked) throw new KernelError('EINVAL', 'ib_umem_dmabuf_map_pages', 'the memory was revoked for good');
    if (!this.mapped) this.#map();
    this.resv.wait(ResvUsage.KERNEL, { interruptible: false });
  }

  /** Puts the table back as it was and unmaps it; a no-op when nothing is mapped. @kernel ib_umem_dmabuf_unmap_pages @locks resv held */
  unmapPages(): void {
    this.resv.assertHeld('ib_umem_dmabuf_unmap_pages');
    const { table } = this;
    if (table === undefined) return;
    restoreTable(table, this.trim);
    U.sgt.store(this.machine.mem, this.#p, 0);
    this.attachment.unmap(table, DmaDirection.BIDIRECTIONAL);
  }

  /** The mapped addresses, for the hardware. @locks resv held, mapped */
  window(): DmaWindow {
    const { first, nents } = this.trim;
    const entries = this.table!.entries().slice(first, first + nents);
    return new DmaWindow(this.#bounds().start, entries);
  }

  /** Pins the buffer where it is. @kernel dma_buf_pin @locks resv held */
  pin(): void {
    this.attachment.pin();
    U.pinned.set(this.machine.mem, this.#p, 1);
  }

  /** Ends a {@link pin}, if there is one. @kernel dma_buf_unpin @locks resv held */
  unpin(): void {
    if (!this.pinned) return;
    U.pinned.set(this.machine.mem, this.#p, 0);
    this.attachment.unpin();
  }

  /** Names the function that stops the hardware when the memory is revoked. @kernel ib_umem_dmabuf_set_revoke_locked @locks resv held */
  setRevokeLocked(hook: number, priv: number): void {
    const { mem } = this.machine;
    this.resv.assertHeld('ib_umem_dmabuf_set_revoke_locked');
    this.priv = priv;
    U.revoke.set(mem, this.#p, hook);
  }

  /** @kernel ib_umem_dmabuf_revoke_unlock */
  revokeUnlock(): void {
    this.resv.unlock();
  }

  /**
   * Stops the hardware, unmaps, unpins, for good. Runs once; later calls do nothing.
   * @kernel ib_umem_dmabuf_revoke_locked
   * @locks resv held
   */
  revokeLocked(): void {
    const { mem } = this.machine;
    this.resv.assertHeld('ib_umem_dmabuf_revoke_locked');
    if (this.revoked) return;
    const hook = U.revoke.get(mem, this.#p);
    if (hook !== 0) revokeHook(this.machine, hook)(this);
    this.unmapPages();
    this.unpin();
    U.revoked.store(mem, this.#p, 1);
  }

  /** Revokes, detaches and frees it, and drops the reference on the buffer. @kernel ib_umem_release @locks resv not held */
  release(): void {
    const { dmabuf } = this;
    unlessLost(() => {
      dmabuf.resv.with(() => this.revokeLocked());
      dmabuf.detach(this.attachment);
    });
    this.machine.slab(U).free(this.ref, 'ib_umem_release');
    dmabuf.put();
  }

  #map(): void {
    const { mem } = this.machine;
    const { start, end } = this.#bounds();
    const table = this.attachment.map(DmaDirection.BIDIRECTIONAL);
    const trim = trimTable(table, start, end);
    U.firstSg.set(mem, this.#p, trim.first);
    U.nents.set(mem, this.#p, trim.nents);
    U.firstOffset.set(mem, this.#p, trim.firstOffset);
    U.lastTrim.set(mem, this.#p, trim.lastTrim);
    U.sgt.store(mem, this.#p, table.ref);
  }

  #bounds(): { start: number; end: number } {
    const { mem } = this.machine;
    return pageWindow(U.offset.get(mem, this.#p), U.length.get(mem, this.#p));
  }
}

/**
 * Attaches a device to a window of a buffer; nothing is mapped yet. Takes a reference on the buffer.
 * @param importer - the driver's operations, which find the umem in `attachment.importerPriv`
 * @kernel ib_umem_dmabuf_get
 * @throws KernelError EINVAL for a window that is empty or not inside the buffer; EBADF; ENOMEM; the exporter's errno.
 */
export function umemGet(machine: Machine, { device, dmabuf, offset, length }: UmemInfo, importer: Importer): Umem {
  const end = offset + length;
  if (!(Number.isSafeInteger(end) && offset >= 0 && length >= 0)) {
    throw new KernelError(
      'EINVAL',
      'ib_umem_dmabuf_get',
      `offset ${offset} and length ${length} leave the range of sizes`,
    );
  }
  const buffer = typeof dmabuf === 'number' ? DmaBuf.get(machine, dmabuf) : dmabuf.get();
  return orUndo(
    () => {
      if (buffer.size < end) {
        throw new KernelError(
          'EINVAL',
          'ib_umem_dmabuf_get',
          `bytes ${offset} to ${end} of a buffer of ${buffer.size} bytes`,
        );
      }
      const slab = machine.slab(U);
      const ref = slab.alloc('ib_umem_dmabuf_get');
      return orUndo(
        () => attachUmem(buffer, ref, { device, dmabuf: buffer, offset, length }, importer),
        () => slab.free(ref, 'ib_umem_dmabuf_get'),
      );
    },
    () => buffer.put(),
  );
}

function attachUmem(buffer: DmaBuf, ref: number, { device, offset, length }: UmemInfo, importer: Importer): Umem {
  const { machine } = buffer;
  const { mem } = machine;
  const p = machine.slab(U).at(ref);
  if (length === 0) throw new KernelError('EINVAL', 'ib_umem_dmabuf_get', 'a window of 0 pages');
  U.task.set(mem, p, machine.tid);
  U.dmabuf.set(mem, p, buffer.ref);
  U.offset.set(mem, p, offset);
  U.length.set(mem, p, length);
  const attachment = buffer.attachDynamic(device, importer, ref);
  U.attachment.set(mem, p, attachment.ref);
  return new Umem(attachment, ref);
}
