import { KernelError, type Machine } from '@dmabuf-emu/shm';
import { ATS_CTRL, ATS_CTRL_ENABLE, type ConfigSpace, ExtCapId } from '../../config-space/index.ts';
import { FunctionStruct } from '../../config-space/function-state.ts';
import type { IommuDomain } from '../iommu-domain.ts';
import { DeviceTlb } from './device-tlb.ts';

const F = FunctionStruct;
/** Bits of an address below its page's number, least. @kernel PCI_ATS_MIN_STU */
const MIN_PAGE_SHIFT = 12;

/** What switching ATS needs of a function. */
export interface AtsFunction {
  readonly machine: Machine;
  readonly index: number;
  readonly bdf: string;
  readonly config: ConfigSpace;
  readonly untrusted: boolean;
  /** The domain that it is attached to. */
  readonly iommu: IommuDomain;
}

/**
 * Switches ATS on: from now on the function keeps translations. Nothing of it may be accessing memory.
 * @param p - word of the function's state
 * @param pageShift - bits of the smallest translation
 * @throws KernelError EINVAL without the capability and for an untrusted function; EBUSY when it is on; EINVAL for pages below
 * 4 KiB; ENOMEM. Nothing is changed then
 * @kernel pci_enable_ats
 */
export function enableAts(fn: AtsFunction, p: number, pageShift: number): void {
  const { machine, config } = fn;
  const refused = (code: 'EINVAL' | 'EBUSY', why: string): KernelError =>
    new KernelError(code, 'pci_enable_ats', `${fn.bdf}: ${why}`);
  const at = config.findExtCapability(ExtCapId.ATS);
  if (at === 0 || fn.untrusted) throw refused('EINVAL', at === 0 ? 'no ATS' : 'untrusted');
  if (F.deviceTlb.load(machine.mem, p) !== 0) throw refused('EBUSY', 'it is on');
  if (pageShift < MIN_PAGE_SHIFT) throw refused('EINVAL', `pages of 2^${pageShift} bytes`);
  const tlb = DeviceTlb.create(machine, fn.index);
  config.write(at + ATS_CTRL, 2, ATS_CTRL_ENABLE | (pageShift - MIN_PAGE_SHIFT));
  new DeviceTlb(machine, tlb).moveTo(fn.iommu);
  F.deviceTlb.store(machine.mem, p, tlb);
}

/** Switches ATS off, and forgets what the function keeps. Nothing when it is off. @kernel pci_disable_ats */
export function disableAts(fn: AtsFunction, p: number): void {
  const { machine, config } = fn;
  const tlb = F.deviceTlb.exchange(machine.mem, p, 0);
  if (tlb === 0) return;
  const at = config.findExtCapability(ExtCapId.ATS);
  config.write(at + ATS_CTRL, 2, config.read(at + ATS_CTRL, 2) & ~ATS_CTRL_ENABLE);
  new DeviceTlb(machine, tlb).destroy();
}
