import { PciCommand, Reg } from '@dmabuf-emu/pci-iommu';
import { UsageError } from '@dmabuf-emu/shm';
import type { OpenDevice } from '../device/open-device.ts';
import { readConfig, writeConfig } from './virtual-config.ts';

/** The command register as the user of a device sees it; setting a bit is a write to configuration space. */
export interface CommandRegister {
  raw: number;
  /** Memory BARs are decoded. Clearing it revokes the device's buffers. */
  memory: boolean;
  /** The device may access memory by itself. */
  busMaster: boolean;
}

/** The user's view of a device's configuration space. */
export class VirtualConfigSpace {
  readonly command: CommandRegister;
  readonly #device: OpenDevice;

  constructor(device: OpenDevice) {
    this.#device = device;
    this.command = commandOf(this);
  }

  /** Bytes of the space. */
  get size(): number {
    return this.#device.core.model.size;
  }

  /** Reads up to 4 bytes as one little-endian number. @throws KernelError EFAULT, EBADF */
  read(offset: number, size: number): number {
    const bytes = new Uint8Array(checked(size));
    this.readBytes(offset, bytes);
    return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
  }

  /**
   * Writes up to 4 bytes; may revoke or un-revoke the device's buffers, and then returns when that is done.
   * @throws KernelError EFAULT, EBADF; EIO when the hardware fails
   */
  write(offset: number, size: number, value: number): void {
    this.writeBytes(
      offset,
      Uint8Array.from({ length: checked(size) }, (_, i) => value >>> (8 * i)),
    );
  }

  /** Reads any number of bytes. @throws KernelError EFAULT, EBADF */
  readBytes(offset: number, into: Uint8Array): void {
    this.#device.check('vfio_pci_config_rw');
    readConfig(this.#device, offset, into);
  }

  /** Writes any number of bytes, in pieces of at most 4. @throws as {@link write} */
  writeBytes(offset: number, bytes: Uint8Array): void {
    this.#device.check('vfio_pci_config_rw');
    writeConfig(this.#device, offset, bytes);
  }
}

function commandOf(config: VirtualConfigSpace): CommandRegister {
  const change = (bit: number, on: boolean): void => {
    const now = config.read(Reg.COMMAND, 2);
    config.write(Reg.COMMAND, 2, on ? now | bit : now & ~bit);
  };
  return {
    get raw() {
      return config.read(Reg.COMMAND, 2);
    },
    set raw(value) {
      config.write(Reg.COMMAND, 2, value);
    },
    get memory() {
      return (this.raw & PciCommand.MEMORY) !== 0;
    },
    set memory(on) {
      change(PciCommand.MEMORY, on);
    },
    get busMaster() {
      return (this.raw & PciCommand.MASTER) !== 0;
    },
    set busMaster(on) {
      change(PciCommand.MASTER, on);
    },
  };
}

function checked(size: number): number {
  if (Number.isInteger(size) && size >= 1 && size <= 4) return size;
  throw new UsageError(`one access to configuration space has 1 to 4 bytes, got ${size}`);
}
