import { KernelError } from '@dmabuf-emu/shm';
import type { ConfigSpace } from './config-space.ts';
import {
  ATS_CTRL,
  ATS_CTRL_ENABLE,
  ATS_CTRL_STU,
  ExtCapId,
  PASID_CAP,
  PASID_CTRL,
  PasidBit,
  PRI_ALLOCATION,
  PRI_CTRL,
  PRI_MAX_REQUESTS,
  PRI_STATUS,
  PriBit,
} from './registers.ts';

/** Smallest translation unit: 4 KiB. */
const MIN_PAGE_SHIFT = 12;
const PASID_WIDTH_SHIFT = 8;

/** Whether a function caches translations at the moment. @kernel pci_ats_enabled */
export function isAtsEnabled(config: ConfigSpace): boolean {
  const at = config.extCapabilityAt(ExtCapId.ATS);
  return at !== 0 && (config.peek(at + ATS_CTRL, 2) & ATS_CTRL_ENABLE) !== 0;
}

/**
 * Lets a function cache translations of at least `2 ** pageShift` bytes.
 * @kernel pci_enable_ats
 * @throws KernelError EINVAL (not supported, unit below 4 KiB), EBUSY when it is enabled
 */
export function enableAts(config: ConfigSpace, pageShift: number = MIN_PAGE_SHIFT): void {
  const at = required(config, ExtCapId.ATS, 'pci_enable_ats');
  if (pageShift < MIN_PAGE_SHIFT) throw new KernelError('EINVAL', 'pci_enable_ats', `pages of 2^${pageShift} bytes`);
  if (isAtsEnabled(config)) throw new KernelError('EBUSY', 'pci_enable_ats', `${config.fn.bdf} has it enabled`);
  config.write(at + ATS_CTRL, 2, ATS_CTRL_ENABLE | ((pageShift - MIN_PAGE_SHIFT) & ATS_CTRL_STU));
}

/** @kernel pci_disable_ats */
export function disableAts(config: ConfigSpace): void {
  const at = config.extCapabilityAt(ExtCapId.ATS);
  if (at !== 0) config.write(at + ATS_CTRL, 2, config.peek(at + ATS_CTRL, 2) & ~ATS_CTRL_ENABLE);
}

/** Page requests that a function may have outstanding; 0 while it must not send any. */
export function pageRequestsAllowed(config: ConfigSpace): number {
  const at = config.extCapabilityAt(ExtCapId.PRI);
  if (at === 0 || (config.peek(at + PRI_CTRL, 2) & PriBit.ENABLE) === 0) return 0;
  return Math.min(config.peek(at + PRI_ALLOCATION, 4), config.peek(at + PRI_MAX_REQUESTS, 4));
}

/**
 * Lets a function send up to `requests` page requests at a time, or as many as it can. Returns how many.
 * @kernel pci_enable_pri
 * @throws KernelError EINVAL (not supported), EBUSY when it is enabled or has not stopped
 */
export function enablePageRequests(config: ConfigSpace, requests: number): number {
  const at = required(config, ExtCapId.PRI, 'pci_enable_pri');
  if ((config.peek(at + PRI_STATUS, 2) & PriBit.STOPPED) === 0) {
    throw new KernelError('EBUSY', 'pci_enable_pri', `${config.fn.bdf} sends page requests`);
  }
  const allowed = Math.min(requests, config.peek(at + PRI_MAX_REQUESTS, 4));
  config.write(at + PRI_ALLOCATION, 4, allowed);
  config.write(at + PRI_CTRL, 2, PriBit.ENABLE);
  return allowed;
}

/** @kernel pci_disable_pri */
export function disablePageRequests(config: ConfigSpace): void {
  const at = config.extCapabilityAt(ExtCapId.PRI);
  if (at !== 0) config.write(at + PRI_CTRL, 2, 0);
}

/** Forgets errors of page requests. @kernel pci_reset_pri @throws KernelError EINVAL (not supported), EBUSY while it is enabled */
export function resetPageRequests(config: ConfigSpace): void {
  const at = required(config, ExtCapId.PRI, 'pci_reset_pri');
  if ((config.peek(at + PRI_CTRL, 2) & PriBit.ENABLE) !== 0) {
    throw new KernelError('EBUSY', 'pci_reset_pri', `${config.fn.bdf} has it enabled`);
  }
  config.write(at + PRI_CTRL, 2, PriBit.RESET);
}

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
  const at = required(config, ExtCapId.PASID, 'pci_enable_pasid');
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

function required(config: ConfigSpace, id: number, call: string): number {
  const at = config.extCapabilityAt(id);
  if (at !== 0) return at;
  throw new KernelError('EINVAL', call, `${config.fn.bdf} does not have the capability`);
}
