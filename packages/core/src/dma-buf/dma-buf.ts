import { KernelError, type Machine } from '@dmabuf-emu/shm';
import type { Device } from '../device/device.ts';
import { FdTable } from '../fd/fd-table.ts';
import { File } from '../fd/file.ts';
import { noteFileHolder } from '../fd/internal/file-holders.ts';
import { OpenFlags } from '../fd/open-flags.ts';
import { registerFileOps } from '../fd/register-file-ops.ts';
import { installFences, noteCallbackHolder, noteFenceHolder } from '../fence/index.ts';
import { CORE_QUIRKS } from '../quirks.ts';
import { Resv } from '../resv/index.ts';
import type { DmaDirection } from '../sg/dma-direction.ts';
import { Attachment } from './attachment.ts';
import { type Exporter, exporterOf, type Importer } from './drivers.ts';
import { attachDevice } from './internal/attach.ts';
import { beginCpuAccess, endCpuAccess, syncBuffer } from './internal/cpu-access.ts';
import { detachAttachment } from './internal/detach.ts';
import { DMA_BUF_FILE, exportBuffer, type ExportInfo } from './internal/export.ts';
import { dmaBufFileOps } from './internal/file.ts';
import { invalidateMappings } from './internal/invalidate.ts';
import { listMembers } from './internal/list.ts';
import { mmapFile, mmapRedirect, type MmapRequest } from './internal/mmap.ts';
import { readName, writeName } from './internal/name.ts';
import { reapBuffers } from './internal/reap.ts';
import { allPollCallbacks } from './internal/poll.ts';
import { DmaBufState } from './internal/state.ts';
import { AttachmentStruct, DmaBufStruct as B } from './internal/structs.ts';
import { exportSyncFile, importSyncFile } from './internal/sync-file.ts';
import type { DmaBufEvent } from './internal/trace.ts';
import { verifyBuffers } from './internal/verify.ts';
import { vmap, vunmap } from './internal/vmap.ts';
import type { KernelMapping } from './kernel-mapping.ts';
import type { VmArea } from '../fd/vm-area.ts';

const STATE = Symbol('core.dma-buf');

/** A shared buffer. A handle over the struct behind `ref`; holding the handle holds no reference. @kernel dma_buf */
export class DmaBuf {
  readonly machine: Machine;
  readonly ref: number;
  /** This thread's handles on the room's tables; for the core itself. */
  readonly state: DmaBufState;
  #resv: Resv | undefined;

  constructor(machine: Machine, buffer: number) {
    this.machine = machine;
    this.ref = buffer;
    this.state = prepareDmaBufs(machine);
  }

  /**
   * Makes a buffer. The caller owns its one reference. Registers the exporter in the calling thread.
   * @kernel dma_buf_export
   * @locks resv not held
   * @throws KernelError EINVAL (operations missing, priv 0), ENOENT (module going away), ENFILE, ENOMEM
   */
  static export(machine: Machine, info: ExportInfo): DmaBuf {
    return new DmaBuf(machine, exportBuffer(prepareDmaBufs(machine), info));
  }

  static of(machine: Machine, buffer: number): DmaBuf {
    return new DmaBuf(machine, buffer);
  }

  /** The buffer behind a descriptor of the calling task's process, with a reference. @kernel dma_buf_get @throws KernelError EBADF, EINVAL */
  static get(machine: Machine, fd: number): DmaBuf {
    prepareDmaBufs(machine);
    const file = FdTable.current(machine).get(fd);
    if (file.type !== DMA_BUF_FILE) {
      const { type } = file;
      file.put();
      throw new KernelError('EINVAL', 'dma_buf_get', `descriptor ${fd} is a ${type} file, not a dma-buf`);
    }
    const dmabuf = new DmaBuf(machine, file.priv);
    dmabuf.state.trace.emit('dma_buf_get', dmabuf.ino, fd);
    return dmabuf;
  }

  /**
   * A descriptor for the buffer in the calling task's process; takes over the caller's reference.
   * @kernel dma_buf_fd
   * @param flags O_CLOEXEC or nothing
   * @throws KernelError EMFILE, ENOMEM; the caller keeps its reference then.
   */
  fd(flags = 0): number {
    const { machine } = this;
    const table = FdTable.current(machine);
    const fd = table.reserve({ cloexec: (flags & OpenFlags.CLOEXEC) !== 0 });
    if (CORE_QUIRKS.has(machine, 'core.fdTraceLate')) {
      table.fill(fd, this.file);
      this.state.trace.emit('dma_buf_fd', this.ino, fd);
    } else this.installFd(fd);
    return fd;
  }

  /** Puts the buffer behind a descriptor that the caller reserved, which takes over the caller's reference. @kernel dma_buf_fd_install */
  installFd(fd: number): void {
    this.state.trace.emit('dma_buf_fd', this.ino, fd);
    FdTable.current(this.machine).fill(fd, this.file);
  }

  /** Takes a reference; the caller must own one already. @kernel get_dma_buf */
  get(): this {
    this.file.get();
    return this;
  }

  /** Takes a reference unless the last one is gone already; tells whether it did. @kernel get_file_active */
  tryGet(): boolean {
    const p = this.state.buffers.tryAt(this.ref);
    return p !== 0 && File.of(this.machine, B.file.get(this.machine.mem, p)).tryGet();
  }

  /**
   * Drops a reference. After the last one the buffer is released, once the calling task holds no lock. @kernel dma_buf_put
   * @throws UsageError when this thread has not registered the exporter; the reference is kept then.
   */
  put(): void {
    this.traceBuffer('dma_buf_put');
    this.file.put();
  }

  get size(): number {
    return B.size.get(this.machine.mem, this.#p);
  }

  /** Inode number: names the buffer for the life of the machine. */
  get ino(): number {
    return B.ino.get(this.machine.mem, this.#p);
  }

  get expName(): string {
    return this.machine.string(B.expName.get(this.machine.mem, this.#p));
  }

  /** What the buffer is called in reports. */
  get label(): string {
    const p = this.state.buffers.tryAt(this.ref);
    if (p === 0) return 'gone';
    return `${this.machine.string(B.expName.get(this.machine.mem, p))}#${B.ino.get(this.machine.mem, p)}`;
  }

  /** The label that a user gave it; null for none. */
  get name(): string | null {
    return readName(this);
  }

  /** @kernel dma_buf_set_name @throws KernelError EINVAL when it is longer than 31 bytes */
  setName(name: string | Uint8Array): void {
    writeName(this, name);
  }

  /** The exporter's word. */
  get priv(): number {
    return B.priv.get(this.machine.mem, this.#p);
  }

  get resv(): Resv {
    return (this.#resv ??= Resv.of(this.machine, B.resv.get(this.machine.mem, this.#p)));
  }

  get file(): File {
    return File.of(this.machine, B.file.get(this.machine.mem, this.#p));
  }

  /** References held. */
  get refs(): number {
    return this.file.count;
  }

  /** The exporter's operations. @throws UsageError when this thread has not registered it. */
  get exporter(): Exporter {
    return exporterOf(this.machine, B.exporter.get(this.machine.mem, this.#p));
  }

  /** Whether the storage may move while it is not pinned. @kernel dma_buf_is_dynamic */
  get isDynamic(): boolean {
    return this.exporter.pin !== undefined;
  }

  /** Dead task that left the buffer beyond use; 0 for none. */
  get damagedBy(): number {
    return B.damagedBy.load(this.machine.mem, this.#p);
  }

  /** Attaches a device without importer operations. @kernel dma_buf_attach @locks resv not held @throws as {@link attachDynamic} */
  attach(device: Device): Attachment {
    return attachDevice(this, device, null, 0);
  }

  /**
   * Attaches a device whose importer can be told that mappings are stale. Registers the importer in the calling thread.
   * @kernel dma_buf_dynamic_attach
   * @locks resv not held
   * @throws KernelError ENOMEM, and what the exporter refuses with
   */
  attachDynamic(device: Device, importer: Importer, priv = 0): Attachment {
    return attachDevice(this, device, importer, priv);
  }

  /** Frees an attachment. @kernel dma_buf_detach @locks resv not held */
  detach(attachment: Attachment): void {
    detachAttachment(this, attachment);
  }

  /** Newest first. @locks resv held, or a quiet machine */
  attachments(): Attachment[] {
    const { mem, attachments } = this.state;
    return [...listMembers(mem, attachments, AttachmentStruct, this.#p + B.attachments.at)].map(
      (ref) => new Attachment(this, ref),
    );
  }

  /** Tells every importer that can be told, newest first, to let go of its mappings. @kernel dma_buf_invalidate_mappings @locks resv held */
  invalidateMappings(): void {
    invalidateMappings(this);
  }

  /** @kernel dma_buf_begin_cpu_access @locks resv not held @throws what the exporter throws; KernelError ERESTARTSYS */
  beginCpuAccess(direction: DmaDirection): void {
    beginCpuAccess(this, direction);
  }

  /** @kernel dma_buf_end_cpu_access @locks resv not held @throws what the exporter throws */
  endCpuAccess(direction: DmaDirection): void {
    endCpuAccess(this, direction);
  }

  /**
   * What a program does around its accesses to mapped memory: begins one (waits for fences, READ for writers, WRITE for all), or
   * ends it with END. @param flags see {@link SyncFlags}
   * @locks resv not held
   * @throws KernelError EINVAL for other flags; ERESTARTSYS; what the exporter throws
   * @kernel DMA_BUF_IOCTL_SYNC
   */
  sync(flags: number): void {
    syncBuffer(this, flags);
  }

  /**
   * A descriptor for a sync_file of the fences that whoever reads (READ) or writes has to wait for, as they are now; of one that
   * has ended when there are none.
   * @param flags see {@link SyncFlags}; END does not count among them.
   * @param copyOut is told the descriptor before anything is behind it; it may throw EFAULT.
   * @throws KernelError EINVAL, EMFILE, ENOMEM, with nothing left behind
   * @kernel DMA_BUF_IOCTL_EXPORT_SYNC_FILE
   */
  exportSyncFile(flags: number, copyOut?: (fd: number) => void): number {
    return exportSyncFile(this, flags, copyOut);
  }

  /**
   * Adds the fences of a sync_file to the buffer: those of a writer (WRITE) or of a reader.
   * @locks resv not held
   * @throws KernelError EINVAL for flags as {@link exportSyncFile} and for what is no sync_file, ENOMEM
   * @kernel DMA_BUF_IOCTL_IMPORT_SYNC_FILE
   */
  importSyncFile(fd: number, flags: number): void {
    importSyncFile(this, fd, flags);
  }

  /** @kernel dma_buf_vmap @locks resv held @throws what the exporter throws; KernelError EINVAL when it has no vmap */
  vmap(): KernelMapping {
    return vmap(this);
  }

  /** @kernel dma_buf_vunmap @locks resv held @throws KernelBug when it is not balanced */
  vunmap(mapping: KernelMapping): void {
    vunmap(this, mapping);
  }

  /** @kernel dma_buf_vmap_unlocked */
  vmapUnlocked(): KernelMapping {
    return this.resv.with(() => this.vmap());
  }

  /** @kernel dma_buf_vunmap_unlocked */
  vunmapUnlocked(mapping: KernelMapping): void {
    this.resv.with(() => this.vunmap(mapping));
  }

  /** mmap(2) on the buffer's file. @throws KernelError EINVAL beyond the last whole page, or when the exporter has no mmap */
  mmap(request: MmapRequest): VmArea {
    return mmapFile(this, request);
  }

  /** Puts the buffer behind an area of another file. @kernel dma_buf_mmap @locks resv not held @throws KernelError EINVAL, EOVERFLOW */
  mmapInto(area: VmArea, pageOffset: number): void {
    mmapRedirect(this, area, pageOffset);
  }

  /** Records an event of the kernel's class dma_buf; for the core itself. */
  traceBuffer(event: DmaBufEvent): void {
    const { state } = this;
    if (this.machine.trace.on) state.trace.emitBuffer(event, this.ino, B.expName.get(state.mem, this.#p), this.size);
  }

  get #p(): number {
    return this.state.buffers.at(this.ref);
  }
}

/** The attachment behind `ref`. */
export function attachmentOf(machine: Machine, attachment: number): Attachment {
  const { attachments, mem } = prepareDmaBufs(machine);
  return new Attachment(new DmaBuf(machine, AttachmentStruct.dmabuf.get(mem, attachments.at(attachment))), attachment);
}

/** Makes this room's code available in the calling thread, once; everything that needs it calls it. */
export function prepareDmaBufs(machine: Machine): DmaBufState {
  return machine.local(STATE, () => {
    // First: a dead task's fences have to end before anybody waits for the locks of those who wait for them.
    installFences(machine);
    const state = new DmaBufState(machine);
    const open = (ref: number): DmaBuf => new DmaBuf(machine, ref);
    machine.onReap('core.dma-buf', (task) => reapBuffers(state, task, open));
    machine.onVerify('core.dma-buf', (report) => verifyBuffers(state, report, open));
    registerFileOps(machine, dmaBufFileOps(open));
    notePolls(state);
    return state;
  });
}

/** Declares to the machine's check what polls of buffers hold. */
function notePolls(state: DmaBufState): void {
  const { machine } = state;
  noteCallbackHolder(machine, 'dma_buf.poll', (own) => {
    for (const { callback } of allPollCallbacks(state)) own(callback);
  });
  noteFenceHolder(machine, 'dma_buf.poll', (hold) => {
    for (const { heldFence } of allPollCallbacks(state)) if (heldFence !== 0) hold(heldFence);
  });
  noteFileHolder(machine, 'dma_buf.poll', () =>
    [...allPollCallbacks(state)].map(({ heldFile }) => heldFile).filter((file) => file !== 0),
  );
}
