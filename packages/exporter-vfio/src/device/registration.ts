import { KernelError, refDec, refIncNotZero, completionOf } from '@dmabuf-emu/shm';
import { PciSystem } from '@dmabuf-emu/pci-iommu';
import { requestDevice } from '../irq/set-irqs.ts';
import { initToken } from './vf-token.ts';
import type { VfioCore } from './vfio-core.ts';
import { VfioStruct as V } from './vfio-struct.ts';

/** Keeps the driver bound to the device; false when it is being unbound. @kernel vfio_device_try_get_registration */
export function tryGetRegistration(core: VfioCore): boolean {
  return refIncNotZero(core.machine, core.p, V.registration);
}

/** @kernel vfio_device_put_registration */
export function putRegistration(core: VfioCore): void {
  if (refDec(core.machine, core.p, V.registration)) completionOf(core.machine, core.p, V.unbound).completeAll();
}

/**
 * Binds the driver, unless it is bound. @kernel vfio_pci_core_register_device
 * @locks dev_set.lock held
 * @throws KernelError EINVAL for a bridge
 */
export function bindDriver(core: VfioCore): void {
  const { mem } = core.machine;
  if (core.fn.topology.isBridge) {
    throw new KernelError('EINVAL', 'vfio_pci_core_register_device', `${core.fn.bdf} is a bridge`);
  }
  if (V.bound.load(mem, core.p) !== 0) return;
  completionOf(core.machine, core.p, V.unbound).reinit();
  initToken(core);
  V.registration.store(mem, core.p, 1);
  V.bound.store(mem, core.p, 1);
}

/**
 * Unbinds the driver: returns when the device is closed and the last of its buffers is gone.
 * @kernel vfio_unregister_group_dev
 * @param timeoutMs - gives up waiting, with the driver still half unbound as a kernel's would be; no limit when left out
 * @returns false when the time was up
 */
export function unbindDriver(core: VfioCore, timeoutMs?: number): boolean {
  const { mem } = core.machine;
  if (V.bound.cas(mem, core.p, 1, 2) === 1) {
    requestDevice(core);
    putRegistration(core);
  }
  if (V.bound.load(mem, core.p) === 0) return true;
  const options = timeoutMs === undefined ? {} : { timeoutMs };
  if (!completionOf(core.machine, core.p, V.unbound).wait(options)) return false;
  PciSystem.of(core.machine).p2p.release(core.fn.topology);
  V.bound.store(mem, core.p, 0);
  return true;
}
