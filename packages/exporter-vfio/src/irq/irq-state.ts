import type { VfioCore } from '../device/vfio-core.ts';
import { VfioStruct as V } from '../device/vfio-struct.ts';

/** Which kind of interrupts is enabled; `null` for none. @kernel vfio_pci_core_device.irq_type */
export function enabledIndex(core: VfioCore): number | null {
  const index = V.irqIndex.load(core.machine.mem, core.p);
  return index === 0 ? null : index - 1;
}

export function setEnabledIndex(core: VfioCore, index: number | null): void {
  V.irqIndex.store(core.machine.mem, core.p, index === null ? 0 : index + 1);
}
