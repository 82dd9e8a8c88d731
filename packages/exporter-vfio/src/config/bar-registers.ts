import { type BarDescription, BAR_IO, BAR_MEM_64, BAR_PREFETCH, Reg } from '@dmabuf-emu/pci-iommu';
import type { VfioCore } from '../device/vfio-core.ts';
import { VfioStruct as V } from '../device/vfio-struct.ts';
import { hardwareRead, hardwareWrite } from './hardware-config.ts';
import { PCI_ROM_ADDRESS_ENABLE, PCI_STD_NUM_BARS } from './registers.ts';
import { virtualRead, virtualWrite } from './virtual-bytes.ts';

/** Whether `position` lies in a BAR or in the ROM's register. @kernel is_bar */
export function isBar(position: number): boolean {
  return (
    (position >= Reg.BAR_0 && position < Reg.BAR_0 + 4 * PCI_STD_NUM_BARS) ||
    (position >= Reg.ROM && position < Reg.ROM + 4)
  );
}

/**
 * Makes the virtual BARs what real ones would be after the writes since the last look: address bits below the size stay 0,
 * type bits stay set. The write-all-ones protocol that finds a BAR's size thus works without touching the hardware.
 * @kernel vfio_bar_fixup
 */
export function fixupBars(core: VfioCore): void {
  const { mem } = core.machine;
  if (V.barDirty.exchange(mem, core.p, 0) === 0) return;
  for (let i = 0; i < PCI_STD_NUM_BARS; i++) {
    const at = Reg.BAR_0 + 4 * i;
    const bar = core.bar(i);
    if (bar === undefined || bar.start === 0) {
      virtualWrite(core, at, 4, 0);
      continue;
    }
    const mask = ~(BigInt(bar.size) - 1n);
    virtualWrite(core, at, 4, (virtualRead(core, at, 4) & low(mask)) | barFlags(bar));
    if (bar.kind !== 'mem64') continue;
    i++;
    virtualWrite(core, at + 4, 4, virtualRead(core, at + 4, 4) & low(mask >> 32n));
  }
  const { rom } = core.fn.topology.description;
  const romMask = rom === undefined || rom.start === 0 ? 0 : -rom.size | PCI_ROM_ADDRESS_ENABLE;
  virtualWrite(core, Reg.ROM, 4, virtualRead(core, Reg.ROM, 4) & romMask);
}

/** Remembers the hardware's BARs, to notice a reset behind VFIO's back. @kernel vfio_config_init */
export function saveBars(core: VfioCore): void {
  for (let i = 0; i < PCI_STD_NUM_BARS; i++) {
    V.hardwareBars.set(core.machine.mem, core.p, i, hardwareRead(core, Reg.BAR_0 + 4 * i, 4) | 0);
  }
}

/** @kernel vfio_need_bar_restore */
export function barsNeedRestore(core: VfioCore): boolean {
  for (let i = 0; i < PCI_STD_NUM_BARS; i++) {
    if (core.fn.config.read(Reg.BAR_0 + 4 * i, 4) !== V.hardwareBars.get(core.machine.mem, core.p, i) >>> 0)
      return true;
  }
  return false;
}

/** Writes the remembered BARs back; virtual functions have none of their own. @kernel vfio_bar_restore */
export function restoreBars(core: VfioCore): void {
  if (core.isVirtualFunction) return;
  for (let i = 0; i < PCI_STD_NUM_BARS; i++) {
    hardwareWrite(core, Reg.BAR_0 + 4 * i, 4, V.hardwareBars.get(core.machine.mem, core.p, i) >>> 0);
  }
}

/** @kernel vfio_generate_bar_flags */
function barFlags(bar: BarDescription): number {
  if (bar.kind === 'io') return BAR_IO;
  return (bar.kind === 'mem64' ? BAR_MEM_64 : 0) | (bar.prefetchable ? BAR_PREFETCH : 0);
}

function low(mask: bigint): number {
  return Number(BigInt.asIntN(32, mask));
}
