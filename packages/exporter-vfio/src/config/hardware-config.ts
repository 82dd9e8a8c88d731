import { KernelError } from '@dmabuf-emu/shm';
import type { VfioCore } from '../device/vfio-core.ts';
import { VfioStruct as V } from '../device/vfio-struct.ts';

/**
 * Reads `size` bytes of the hardware's configuration space. @kernel vfio_user_config_read
 * @throws KernelError EIO when the device was told to fail
 */
export function hardwareRead(core: VfioCore, position: number, size: 1 | 2 | 4): number {
  failIfTold(core, 'read');
  return core.fn.config.read(position, size);
}

/** @kernel vfio_user_config_write @throws KernelError EIO when the device was told to fail */
export function hardwareWrite(core: VfioCore, position: number, size: 1 | 2 | 4, value: number): void {
  failIfTold(core, 'write');
  core.fn.config.write(position, size, value);
}

/** Makes the next `count` hardware reads or writes of configuration space by VFIO fail with EIO. */
export function failHardware(core: VfioCore, access: 'read' | 'write', count: number): void {
  failures(access).store(core.machine.mem, core.p, count);
}

function failIfTold(core: VfioCore, access: 'read' | 'write'): void {
  const { mem } = core.machine;
  const field = failures(access);
  for (let left = field.load(mem, core.p); left > 0; left = field.load(mem, core.p)) {
    if (field.cas(mem, core.p, left, left - 1) !== left) continue;
    throw new KernelError('EIO', `pci_user_${access}_config`, `${core.fn.bdf} does not answer`);
  }
}

function failures(access: 'read' | 'write'): typeof V.readFailures {
  return access === 'read' ? V.readFailures : V.writeFailures;
}
