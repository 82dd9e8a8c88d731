import type { DmaBuf } from '@dmabuf-emu/core';
import { type Bar, PAGE_SIZE, type PciFunction, PciSystem } from '@dmabuf-emu/pci-iommu';
import { KernelError, type Machine, UsageError } from '@dmabuf-emu/shm';
import { closeDevice, openDevice, removeDriver } from './device/lifecycle.ts';
import { OpenDevice } from './device/open-device.ts';
import { RdmaCore } from './device/rdma-core.ts';
import { exportDmaBuf, exportDmaBufFd } from './dma-buf/export.ts';
import { ExportedBuffer } from './dma-buf/exported-buffer.ts';
import { destroyObject, removeEntry } from './dma-buf/revoke.ts';
import { isRevoked } from './dma-buf/state.ts';
import { insertEntry, lookUpEntry, putEntry } from './mmap/entry-table.ts';
import { MmapEntry } from './mmap/mmap-entry.ts';
import { keyOfPageOffset, MmapCommand } from './mmap/page-offset.ts';
import { registerRdma } from './register.ts';

/**
 * An RDMA device that a program opened: allocates parts of a BAR, and exports them as buffers. State is in the machine, so any
 * thread that joined may hold one ({@link RdmaDevice.of}).
 */
export class RdmaDevice {
  readonly machine: Machine;
  readonly fn: PciFunction;
  readonly #device: OpenDevice;

  private constructor(device: OpenDevice) {
    this.machine = device.core.machine;
    this.fn = device.core.fn;
    this.#device = device;
  }

  /** Binds the driver to a function and opens it. @throws KernelError EBUSY (open already), EINVAL (a bridge) */
  static open(machine: Machine, target: string | PciFunction): RdmaDevice {
    return new RdmaDevice(openDevice(coreOf(machine, target)));
  }

  /** The device that was opened, by any thread. @throws KernelError ENODEV when it is not open */
  static of(machine: Machine, target: string | PciFunction): RdmaDevice {
    const core = coreOf(machine, target);
    const { session } = core;
    if ((session & 1) === 0) throw new KernelError('ENODEV', 'rdma_device_of', `${core.fn.bdf} is not open`);
    return new RdmaDevice(new OpenDevice(core, session));
  }

  get bdf(): string {
    return this.fn.bdf;
  }

  get isOpen(): boolean {
    return this.#device.isOpen;
  }

  /**
   * Allocates device memory, rounded up to whole pages. @kernel ib_device_ops.alloc_dm
   * @throws KernelError EINVAL (no bytes, no memory BAR), ENOMEM (none left), EIO, EBADF
   */
  allocDm(bytes: number): MmapEntry {
    return this.#insert(MmapCommand.DEVICE_MEM, bytes);
  }

  /** Allocates a page of doorbells. @kernel MLX5_IB_METHOD_UAR_OBJ_ALLOC @throws as {@link allocDm} */
  allocUar(): MmapEntry {
    return this.#insert(MmapCommand.UAR, PAGE_SIZE);
  }

  /** The entry that a byte offset names. @throws KernelError EINVAL when there is none, or the driver took it away */
  mmapEntry(pgoff: number | bigint): MmapEntry {
    this.#device.check('rdma_user_mmap');
    const { core } = this.#device;
    const entry = lookUpEntry(core, keyOfPageOffset(wide(pgoff)));
    if (entry === 0) throw new KernelError('EINVAL', 'rdma_user_mmap', `no entry has the offset ${pgoff}`);
    putEntry(core, entry);
    return new MmapEntry(this.#device, entry);
  }

  /**
   * A buffer over the entry that a byte offset names; the caller owns its one reference. It is read-only to the CPU.
   * @throws KernelError EINVAL, EOPNOTSUPP, EIO (driver removed, or taking the entry away), ENOMEM, ENFILE, EBADF
   */
  exportDmaBuf(pgoff: number | bigint): DmaBuf {
    return exportDmaBuf(this.#device, wide(pgoff));
  }

  /** {@link exportDmaBuf} with a descriptor in the calling task's process that owns the reference. @throws also KernelError EMFILE */
  exportDmaBufFd(pgoff: number | bigint): number {
    return exportDmaBufFd(this.#device, wide(pgoff));
  }

  /**
   * Destroys the object of a buffer, which the caller has a reference to: the buffer is revoked for good. Returns when nobody
   * uses it; false at once when somebody destroyed it before.
   * @throws UsageError for another exporter's buffer
   */
  destroyObject(dmabuf: DmaBuf): boolean {
    isRevoked(dmabuf);
    return destroyObject(ExportedBuffer.of(dmabuf));
  }

  /** Frees what the entry is over; its buffers are revoked first. Returns when nobody uses them. False when it was removed before. */
  removeEntry(entry: MmapEntry): boolean {
    return entry.alive && removeEntry(this.#device.core, entry.ref);
  }

  /** The driver goes, as in a hot-unplug: every entry is removed. From now on exports fail with EIO. @throws KernelError EIO, EBADF */
  removeDriver(): void {
    removeDriver(this.#device);
  }

  /** The program closes the device: objects of its buffers are destroyed, its entries freed. @throws KernelError EIO, EBADF */
  close(): void {
    closeDevice(this.#device);
  }

  /** Reads device memory as the program's CPU does. @throws KernelError EFAULT */
  readDm(entry: MmapEntry, offset: number, length: number): Uint8Array {
    return entry.read(offset, length);
  }

  /** Writes device memory as the program's CPU does. @throws KernelError EFAULT, ENOMEM */
  writeDm(entry: MmapEntry, offset: number, bytes: Uint8Array): void {
    entry.write(offset, bytes);
  }

  /** Whether a buffer is revoked at the moment: {@link isRevoked}. */
  revokedOf(dmabuf: DmaBuf): boolean {
    return isRevoked(dmabuf);
  }

  #insert(command: MmapCommand, bytes: number): MmapEntry {
    const { core } = this.#device;
    this.#device.check('ib_alloc_dm');
    const bar = largestMemoryBar(this.fn);
    if (bar === undefined || !Number.isInteger(bytes) || bytes <= 0) {
      const why = bar === undefined ? 'has no memory BAR' : `cannot give ${bytes} bytes`;
      throw new KernelError('EINVAL', 'ib_alloc_dm', `${this.bdf} ${why}`);
    }
    const entry = insertEntry(core, command, bar, Math.ceil(bytes / PAGE_SIZE));
    if (!this.isOpen) {
      removeEntry(core, entry);
      this.#device.check('ib_alloc_dm');
    }
    return new MmapEntry(this.#device, entry);
  }
}

function coreOf(machine: Machine, target: string | PciFunction): RdmaCore {
  registerRdma(machine);
  const fn = typeof target === 'string' ? PciSystem.of(machine).function(target) : target;
  return RdmaCore.of(machine, fn.index);
}

function largestMemoryBar(fn: PciFunction): Bar | undefined {
  return fn.bars.filter(({ isMemory }) => isMemory).toSorted((a, b) => b.size - a.size)[0];
}

function wide(pgoff: number | bigint): bigint {
  if (typeof pgoff === 'bigint' ? pgoff >= 0n && pgoff < 1n << 64n : Number.isSafeInteger(pgoff) && pgoff >= 0)
    return BigInt(pgoff);
  throw new UsageError(`an offset is a whole number from 0 to 2^64-1, got ${pgoff}`);
}
