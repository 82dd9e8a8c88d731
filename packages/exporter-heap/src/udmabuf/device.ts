import { Device } from '@dmabuf-emu/core';
import { isKernelError, type Machine } from '@dmabuf-emu/shm';

const NAME = 'udmabuf';

/** The misc device, for which buffers are mapped while the CPU uses them. @kernel udmabuf_misc @throws KernelError ENOMEM the first time */
export function udmabufDevice(machine: Machine): Device {
  return Device.byName(machine, NAME) ?? register(machine);
}

function register(machine: Machine): Device {
  try {
    return Device.register(machine, { name: NAME, kind: 'platform' });
  } catch (error) {
    // Another thread was faster.
    if (!isKernelError(error, 'EEXIST')) throw error;
    return Device.byName(machine, NAME)!;
  }
}
