import { isDecodedMemory } from '@dmabuf-emu/pci-iommu';
import { KernelError } from '@dmabuf-emu/shm';
import type { VfioCore } from './vfio-core.ts';
import { VfioStruct as V } from './vfio-struct.ts';

/**
 * Takes the BAR for VFIO. Returns the error when there is nothing to take, or when another driver holds it.
 * @kernel vfio_pci_core_setup_barmap
 */
export function claimBar(core: VfioCore, index: number): KernelError | undefined {
  const bar = core.bar(index);
  if (bar === undefined || bar.start === 0) return failed('ENODEV', core, index, 'is not implemented');
  const foreign = V.foreignBars.load(core.machine.mem, core.p);
  if ((foreign & (1 << index)) !== 0) return failed('EBUSY', core, index, 'belongs to another driver');
  const mappable = core.fn.topology.description.nonMappableBars !== true;
  if (core.machine.options.kernel === '7.3' && isDecodedMemory(bar) && !mappable) {
    return failed('ENODEV', core, index, 'cannot be mapped by the CPU');
  }
  return undefined;
}

function failed(code: 'ENODEV' | 'EBUSY', core: VfioCore, index: number, why: string): KernelError {
  return new KernelError(code, 'vfio_pci_core_setup_barmap', `BAR ${index} of ${core.fn.bdf} ${why}`);
}
