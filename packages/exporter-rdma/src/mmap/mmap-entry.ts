import { PAGE_SIZE, PciSystem } from '@dmabuf-emu/pci-iommu';
import { KernelError } from '@dmabuf-emu/shm';
import type { OpenDevice } from '../device/open-device.ts';
import { EntryStruct as E } from './entry-struct.ts';
import { pageOffsetOf } from './page-offset.ts';

/** A part of the device's BAR that a program allocated: device memory, or a page of doorbells. Borrowed: holds no reference. */
export class MmapEntry {
  readonly device: OpenDevice;
  readonly ref: number;

  constructor(device: OpenDevice, ref: number) {
    this.device = device;
    this.ref = ref;
  }

  /** Byte offset that names the entry to mmap(2) and to the export. */
  get pgoff(): number {
    return pageOffsetOf(E.key.get(this.#mem, this.#p));
  }

  /** Physical address. */
  get paddr(): number {
    return E.paddr.get(this.#mem, this.#p);
  }

  /** Bytes: whole pages. */
  get length(): number {
    return E.pages.get(this.#mem, this.#p) * PAGE_SIZE;
  }

  /** False once the driver took it away or the last reference is gone. */
  get alive(): boolean {
    const p = this.device.core.machine.slab(E).tryAt(this.ref);
    return p !== 0 && E.driverRemoved.load(this.#mem, p) === 0;
  }

  /** Reads as the program's CPU does. @throws KernelError EFAULT out of range or once the entry is gone */
  read(offset: number, length: number): Uint8Array {
    return PciSystem.of(this.device.core.machine).memory.cpuRead(this.#address(offset, length), length);
  }

  /** Writes as the program's CPU does. @throws as {@link read}; ENOMEM */
  write(offset: number, bytes: Uint8Array): void {
    PciSystem.of(this.device.core.machine).memory.cpuWrite(this.#address(offset, bytes.length), bytes);
  }

  #address(offset: number, length: number): number {
    if (!this.alive) throw new KernelError('EFAULT', 'rdma_user_mmap', 'the mapping of this entry is gone');
    if (Number.isInteger(offset) && offset >= 0 && offset + length <= this.length) return this.paddr + offset;
    throw new KernelError('EFAULT', 'rdma_user_mmap', `${length} bytes at ${offset}, the entry has ${this.length}`);
  }

  get #mem(): OpenDevice['core']['machine']['mem'] {
    return this.device.core.machine.mem;
  }

  get #p(): number {
    return this.device.core.machine.slab(E).at(this.ref);
  }
}
