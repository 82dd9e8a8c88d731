import { KernelError, type Machine } from '@dmabuf-emu/shm';
import { Device } from '../device/device.ts';
import type { DmaDirection } from '../sg/dma-direction.ts';
import { SgTable } from '../sg/sg-table.ts';
import { SgTableStruct } from '../sg/sg-table-struct.ts';
import type { DmaBuf } from './dma-buf.ts';
import { type Importer, importerOf } from './drivers.ts';
import { listMembers } from './internal/list.ts';
import { mapAttachment, unmapAttachment } from './internal/map.ts';
import { pinAttachment, unpinAttachment } from './internal/pin.ts';
import { ATT_DYNAMIC, ATT_LISTED, ATT_PEER2PEER, ATT_REVOCABLE, AttachmentStruct as A } from './internal/structs.ts';
import { violate } from './rules.ts';

/** A device's use of a buffer: what is mapped, pinned and told about moves. A handle over the struct behind `ref`. @kernel dma_buf_attachment */
export class Attachment {
  readonly machine: Machine;
  readonly dmabuf: DmaBuf;
  readonly ref: number;

  /** For code that has the buffer at hand; others use {@link attachmentOf}. */
  constructor(dmabuf: DmaBuf, attachmentRef: number) {
    this.machine = dmabuf.machine;
    this.dmabuf = dmabuf;
    this.ref = attachmentRef;
  }

  get device(): Device {
    return Device.byRef(this.machine, A.device.get(this.machine.mem, this.#p));
  }

  /** Whether the importer has operations; a static importer has none. */
  get isDynamic(): boolean {
    return this.#flag(ATT_DYNAMIC);
  }

  /** Whether the importer takes bus addresses of other devices' memory. */
  get peer2peer(): boolean {
    return this.#flag(ATT_PEER2PEER);
  }

  /** Whether the importer can be told to give its mappings up. Usable in the exporter's `attach`. @kernel dma_buf_attach_revocable */
  isRevocable(): boolean {
    return this.#flag(ATT_REVOCABLE);
  }

  /** The importer's operations, null for a static one. @throws UsageError when this thread has not registered them. */
  get importerOps(): Importer | null {
    const id = A.importer.get(this.machine.mem, this.#p);
    return id === 0 ? null : importerOf(this.machine, id);
  }

  /** Name of the importer's driver. */
  get importerName(): string {
    const p = this.#slab.tryAt(this.ref);
    if (p === 0) return 'gone';
    const id = A.importer.get(this.machine.mem, p);
    return id === 0 ? 'static' : this.machine.drivers.name('importer', id);
  }

  /** The importer's word. */
  get importerPriv(): number {
    return A.importerPriv.get(this.machine.mem, this.#p);
  }

  set importerPriv(value: number) {
    A.importerPriv.set(this.machine.mem, this.#p, value);
  }

  /** The exporter's word. */
  get priv(): number {
    return A.priv.get(this.machine.mem, this.#p);
  }

  set priv(value: number) {
    A.priv.set(this.machine.mem, this.#p, value);
  }

  /** Task that attached. */
  get ownerTask(): number {
    return A.ownerTask.get(this.machine.mem, this.#p);
  }

  /**
   * Lets the attachment and what is mapped through it outlive the calling task: they belong to an object of the machine from
   * now on, which has to undo them.
   * @locks resv held, or nobody else knows the attachment
   */
  disown(): void {
    const { mem } = this.machine;
    const { tables } = this.dmabuf.state;
    A.ownerTask.set(mem, this.#p, 0);
    for (const { ref } of this.tables()) SgTableStruct.ownerTask.set(mem, tables.at(ref), 0);
  }

  /** Pins that the importer holds. */
  get pins(): number {
    return A.pins.get(this.machine.mem, this.#p);
  }

  /** False once it was detached. */
  get alive(): boolean {
    return this.#slab.tryAt(this.ref) !== 0;
  }

  /** Whether it is on the buffer's list: not yet in the exporter's `attach`, no longer in `detach`. */
  get listed(): boolean {
    return this.#flag(ATT_LISTED);
  }

  /** Live mappings, newest first. @locks resv held, or a quiet machine */
  tables(): SgTable[] {
    const { mem } = this.machine;
    const { tables } = this.dmabuf.state;
    return [...listMembers(mem, tables, SgTableStruct, this.#p + A.tables.at)].map(
      (ref) => new SgTable(this.machine, ref),
    );
  }

  /**
   * Stops the storage from moving, until {@link unpin}. A no-op with exporters that never move it.
   * @kernel dma_buf_pin
   * @locks resv held
   * @throws what the exporter throws; KernelError EINVAL without resv.
   */
  pin(): void {
    pinAttachment(this);
  }

  /** @kernel dma_buf_unpin @locks resv held */
  unpin(): void {
    unpinAttachment(this);
  }

  /**
   * Maps the buffer for the device. For a static importer this pins the storage and waits until the exporter's own work on
   * it (KERNEL fences) is done; a dynamic one honours these fences itself.
   * @kernel dma_buf_map_attachment
   * @locks resv held
   * @throws what the exporter throws; KernelError ENOMEM, ERESTARTSYS (static only); EINVAL without resv.
   */
  map(direction: DmaDirection): SgTable {
    return mapAttachment(this, direction);
  }

  /** Ends a mapping; the table is gone afterwards. Cannot fail. @kernel dma_buf_unmap_attachment @locks resv held */
  unmap(table: SgTable, direction: DmaDirection): void {
    unmapAttachment(this, table, direction);
  }

  /** {@link map} that takes resv itself. @kernel dma_buf_map_attachment_unlocked */
  mapUnlocked(direction: DmaDirection): SgTable {
    return this.dmabuf.resv.with(() => this.map(direction));
  }

  /** {@link unmap} that takes resv itself. @kernel dma_buf_unmap_attachment_unlocked */
  unmapUnlocked(table: SgTable, direction: DmaDirection): void {
    this.dmabuf.resv.with(() => this.unmap(table, direction));
  }

  /**
   * Word of the struct, for a call into the core.
   * @throws KernelError EINVAL, after a violation of `use-after-detach`, once it was detached.
   */
  at(step: string): number {
    const p = this.#slab.tryAt(this.ref);
    if (p !== 0) return p;
    violate(this.dmabuf, 'use-after-detach', 'an attachment is used that was detached', { step });
    throw new KernelError('EINVAL', step, `this attachment of buffer ${this.dmabuf.label} was detached`);
  }

  get #slab(): DmaBuf['state']['attachments'] {
    return this.dmabuf.state.attachments;
  }

  get #p(): number {
    return this.#slab.at(this.ref);
  }

  #flag(bit: number): boolean {
    return (A.flags.get(this.machine.mem, this.#p) & bit) !== 0;
  }
}
