import type { VfioCore } from '../device/vfio-core.ts';
import { hardwareRead, hardwareWrite } from './hardware-config.ts';
import { virtualRead, virtualWrite } from './virtual-bytes.ts';

export type Size = 1 | 2 | 4;

/** All bits of `size` bytes. */
export function allBits(size: Size): number {
  return size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
}

/** Mask bits of the bytes from `position` on, as one number. */
function mask(bytes: Uint8Array, position: number, size: Size): number {
  let value = 0;
  for (let i = 0; i < size; i++) value |= bytes[position + i]! << (8 * i);
  return value >>> 0;
}

/** Virtual bits from the virtual copy, the others from the hardware. @kernel vfio_default_config_read */
export function defaultRead(core: VfioCore, position: number, size: Size): number {
  const virt = mask(core.model.virt, position, size);
  const value = virtualRead(core, position, size);
  if (virt === allBits(size)) return value;
  return ((hardwareRead(core, position, size) & ~virt) | (value & virt)) >>> 0;
}

/**
 * Writable bits go to the virtual copy or to the hardware, the others nowhere. @kernel vfio_default_config_write
 * @throws KernelError of the hardware access
 */
export function defaultWrite(core: VfioCore, position: number, size: Size, value: number): void {
  const write = mask(core.model.write, position, size);
  if (write === 0) return;
  const virt = mask(core.model.virt, position, size);
  const toCopy = write & virt;
  if (toCopy !== 0) {
    const old = virtualRead(core, position, size);
    virtualWrite(core, position, size, (old & ~toCopy) | (value & toCopy));
  }
  const toHardware = write & ~virt;
  if (toHardware !== 0) {
    const old = hardwareRead(core, position, size);
    hardwareWrite(core, position, size, ((old & ~toHardware) | (value & toHardware)) >>> 0);
  }
}
