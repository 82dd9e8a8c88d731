import { KernelError } from '@dmabuf-emu/shm';
import type { ConfigSpace } from './config-space.ts';
import { ExtCapId, PASID_CAP, PASID_CTRL, PasidBit } from './registers.ts';

const PASID_WIDTH_SHIFT = 8;

/** Bits of the largest address space id that a function can name; 0 while it must not name any. */
export function pasidBits(config: ConfigSpace): number {
  const at = config.extCapabilityAt(ExtCapId.PASID);
  if (at === 0 || (config.peek(at + PASID_CTRL, 2) & PasidBit.ENABLE) === 0) return 0;
  return (config.peek(at + PASID_CAP, 2) >>> PASID_WIDTH_SHIFT) & 0x1f;
}

/**
 * Lets a function name address spaces. @param features - `PasidBit.EXECUTE`, `PasidBit.PRIVILEGED`
 * @kernel pci_enable_pasid
 * @throws KernelError EINVAL (not supported)
 */
export function enablePasid(config: ConfigSpace, features = 0): void {
  const at = config.extCapabilityAt(ExtCapId.PASID);
  if (at === 0) throw new KernelError('EINVAL', 'pci_enable_pasid', `${config.fn.bdf} does not have the capability`);
  if ((features & ~config.peek(at + PASID_CAP, 2)) !== 0) {
    throw new KernelError('EINVAL', 'pci_enable_pasid', `features 0x${features.toString(16)} of ${config.fn.bdf}`);
  }
  config.write(at + PASID_CTRL, 2, PasidBit.ENABLE | features);
}

/** @kernel pci_disable_pasid */
export function disablePasid(config: ConfigSpace): void {
  const at = config.extCapabilityAt(ExtCapId.PASID);
  if (at !== 0) config.write(at + PASID_CTRL, 2, 0);
}
