import { type File, type MmapRequest, VmArea } from '@dmabuf-emu/core';
import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { KernelError, type Machine, UsageError } from '@dmabuf-emu/shm';
import type { DrmDriver, DrmDriverName } from './device/drivers.ts';
import { DRM_FILE, DRM_FILE_OPS, type DrmOpen, openDrm } from './device/file-ops.ts';
import { capOf, type DrmVersion, versionOf } from './device/info.ts';
import { OpenFile } from './device/open-file.ts';
import { createDumb, type DumbBuffer, type DumbRequest, mapDumb } from './gem/dumb.ts';
import { changeHandle, deleteHandle } from './gem/handle.ts';
import { nameObject, openName } from './gem/name.ts';
import { exportHandle } from './prime/export.ts';
import { importFd } from './prime/import.ts';
import { registerDrm } from './register.ts';
import { eventfdSyncobj, type SyncobjEventfd } from './syncobj/eventfd.ts';
import { createSyncobj, destroySyncobj, type SyncobjDestroy } from './syncobj/handles.ts';
import { querySyncobjs, type SyncobjQuery } from './syncobj/query.ts';
import { fdToSyncobj, type SyncobjHandle, syncobjToFd } from './syncobj/share.ts';
import {
  resetSyncobjs,
  signalSyncobjs,
  signalTimelines,
  type SyncobjArray,
  type SyncobjTimelineArray,
} from './syncobj/signal.ts';
import { type SyncobjTransfer, transferSyncobj } from './syncobj/transfer.ts';
import { type SyncobjWait, waitSyncobjs } from './syncobj/wait.ts';
import { attachFence, signalFence, type VgemFenceAttach, type VgemFenceSignal } from './vgem/attach-fence.ts';

/**
 * An open DRM device: its calls, with the kernel's checks in the kernel's order. A handle over the file; the reference to that
 * is the caller's affair. Numbers are as in the ioctl's structs, 32 bits without a sign.
 * @kernel drm_file
 */
export class DrmFile {
  readonly machine: Machine;
  readonly file: File;
  readonly #open: OpenFile;

  private constructor(file: File) {
    this.machine = file.machine;
    this.file = file;
    this.#open = OpenFile.of(file);
  }

  /** Opens a device: {@link file} has one reference, which the caller owns. @kernel drm_open @throws KernelError ENODEV, ENFILE, ENOMEM */
  static open(machine: Machine, driver: DrmDriverName, options: DrmOpen = {}): DrmFile {
    registerDrm(machine);
    return new DrmFile(openDrm(machine, driver, options));
  }

  /** The device behind a file. @throws UsageError for another kind of file */
  static of(file: File): DrmFile {
    registerDrm(file.machine);
    if (file.type === DRM_FILE) return new DrmFile(file);
    throw new UsageError(`a ${file.type} file is no DRM device`);
  }

  get driver(): DrmDriver {
    return this.#open.device.driver;
  }

  get isRender(): boolean {
    return this.#open.isRender;
  }

  /** @kernel DRM_IOCTL_VERSION */
  version(): DrmVersion {
    return versionOf(this.#open);
  }

  /** @kernel DRM_IOCTL_GET_CAP @throws KernelError EOPNOTSUPP, EINVAL */
  getCap(cap: number): number {
    return capOf(this.#open, cap);
  }

  /** @kernel DRM_IOCTL_MODE_CREATE_DUMB @throws KernelError EACCES, EINVAL, ENOSPC, ENOMEM */
  createDumb(request: DumbRequest): DumbBuffer {
    return createDumb(this.#open, request);
  }

  /** The offset to map the object at, in bytes. @kernel DRM_IOCTL_MODE_MAP_DUMB @throws KernelError EACCES, ENOENT, EINVAL for an import */
  mapDumb(handle: number): number {
    return mapDumb(this.#open, handle);
  }

  /** @kernel DRM_IOCTL_MODE_DESTROY_DUMB @throws KernelError EACCES, EINVAL */
  destroyDumb(handle: number): void {
    this.#open.refuseRender('drm_mode_destroy_dumb');
    deleteHandle(this.#open, handle);
  }

  /** @kernel DRM_IOCTL_GEM_CLOSE @throws KernelError EINVAL */
  gemClose(handle: number): void {
    deleteHandle(this.#open, handle);
  }

  /** The object's name on the device. @kernel DRM_IOCTL_GEM_FLINK @throws KernelError EACCES, ENOENT, ENOMEM */
  gemFlink(handle: number): number {
    return nameObject(this.#open, handle);
  }

  /** @kernel DRM_IOCTL_GEM_OPEN @throws KernelError EACCES, ENOENT, ENOMEM */
  gemOpen(name: number): { handle: number; size: number } {
    return openName(this.#open, name);
  }

  /** @kernel DRM_IOCTL_GEM_CHANGE_HANDLE @throws KernelError EINVAL, ENOENT, ENOSPC (taken), ENOMEM */
  gemChangeHandle(handle: number, newHandle: number): void {
    changeHandle(this.#open, handle, newHandle);
  }

  /**
   * A descriptor for the object's dma-buf in the calling task's process. The flags of the first export stay.
   * @param flags O_CLOEXEC, O_RDWR or nothing
   * @kernel DRM_IOCTL_PRIME_HANDLE_TO_FD
   * @throws KernelError EINVAL (flags), EMFILE, ENOENT, ENFILE, ENOMEM
   */
  primeHandleToFd(handle: number, flags = 0): number {
    return exportHandle(this.#open, handle, flags);
  }

  /**
   * The handle of a dma-buf, which is attached to and mapped if this device did not make it.
   * @kernel DRM_IOCTL_PRIME_FD_TO_HANDLE
   * @throws KernelError EBADF, EINVAL (no dma-buf), ENOMEM, and what the buffer's exporter refuses with
   */
  primeFdToHandle(fd: number): number {
    return importFd(this.#open, fd);
  }

  /** mmap(2) at an offset of {@link mapDumb}. @throws KernelError EINVAL, EACCES, ENOMEM */
  mmap({ offset, length, shared = true, writable = true }: MmapRequest): VmArea {
    if (!(offset >= 0) || offset % PAGE_SIZE !== 0) {
      throw new KernelError('EINVAL', 'mmap', `offset must be a multiple of ${PAGE_SIZE}, got ${offset}`);
    }
    const info = { pageOffset: offset / PAGE_SIZE, length, shared, writable };
    return VmArea.map(this.file, info, (area) => DRM_FILE_OPS.mmap!(this.file, area));
  }

  /** An id of the new fence. @kernel DRM_IOCTL_VGEM_FENCE_ATTACH @throws KernelError EINVAL, ENOENT, EBUSY, ENOMEM */
  vgemFenceAttach(request: VgemFenceAttach): number {
    return attachFence(this.#open, request);
  }

  /** @kernel DRM_IOCTL_VGEM_FENCE_SIGNAL @throws KernelError EINVAL, ENOENT, ETIMEDOUT */
  vgemFenceSignal(request: VgemFenceSignal): void {
    signalFence(this.#open, request);
  }

  /** A handle. @kernel DRM_IOCTL_SYNCOBJ_CREATE @throws KernelError EOPNOTSUPP, EINVAL, ENOMEM */
  syncobjCreate(flags = 0): number {
    return createSyncobj(this.#open, flags);
  }

  /** @kernel DRM_IOCTL_SYNCOBJ_DESTROY @throws KernelError EOPNOTSUPP, EINVAL */
  syncobjDestroy(request: SyncobjDestroy): void {
    destroySyncobj(this.#open, request);
  }

  /**
   * A descriptor for a sync object, or for a sync_file of what is in it.
   * @kernel DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD
   * @throws KernelError EOPNOTSUPP, EINVAL, ENOENT, EMFILE, ENFILE, ENOMEM
   */
  syncobjHandleToFd(request: SyncobjHandle): number {
    return syncobjToFd(this.#open, request);
  }

  /**
   * A handle for the sync object behind a descriptor; or what is in a sync_file for the handle given, which is returned.
   * @kernel DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE
   * @throws KernelError EOPNOTSUPP, EINVAL, ENOENT, ENOMEM
   */
  syncobjFdToHandle(fd: number, request: SyncobjHandle = { handle: 0 }): number {
    return fdToSyncobj(this.#open, fd, request);
  }

  /**
   * Index of the first handle that had signalled: see {@link waitSyncobjs}. With points it is the timeline's call.
   * @kernel DRM_IOCTL_SYNCOBJ_WAIT, DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT
   * @throws KernelError EOPNOTSUPP, EINVAL, ENOENT, ETIME, ERESTARTSYS, ENOMEM
   */
  syncobjWait(request: SyncobjWait): number | null {
    return waitSyncobjs(this.#open, request);
  }

  /** @kernel DRM_IOCTL_SYNCOBJ_RESET @throws KernelError EOPNOTSUPP, EINVAL, ENOENT */
  syncobjReset(request: SyncobjArray): void {
    resetSyncobjs(this.#open, request);
  }

  /** @kernel DRM_IOCTL_SYNCOBJ_SIGNAL @throws KernelError EOPNOTSUPP, EINVAL, ENOENT, ENOMEM */
  syncobjSignal(request: SyncobjArray): void {
    signalSyncobjs(this.#open, request);
  }

  /** @kernel DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL @throws KernelError EOPNOTSUPP, EINVAL, ENOENT, ENOMEM */
  syncobjTimelineSignal(request: SyncobjTimelineArray): void {
    signalTimelines(this.#open, request);
  }

  /** A point for each handle. @kernel DRM_IOCTL_SYNCOBJ_QUERY @throws KernelError EOPNOTSUPP, EINVAL, ENOENT */
  syncobjQuery(request: SyncobjQuery): number[] {
    return querySyncobjs(this.#open, request);
  }

  /** @kernel DRM_IOCTL_SYNCOBJ_TRANSFER @throws KernelError EOPNOTSUPP, EINVAL, ENOENT, ETIME, ERESTARTSYS, ENOMEM */
  syncobjTransfer(request: SyncobjTransfer): void {
    transferSyncobj(this.#open, request);
  }

  /** @kernel DRM_IOCTL_SYNCOBJ_EVENTFD @throws KernelError EOPNOTSUPP, EINVAL, ENOENT, EBADF, ENOMEM */
  syncobjEventfd(request: SyncobjEventfd): void {
    eventfdSyncobj(this.#open, request);
  }
}
