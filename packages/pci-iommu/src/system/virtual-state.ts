import { type ConfigSpace, ExtCapId, SRIOV_BAR_0, SRIOV_CTRL, SRIOV_NUM_VFS, SriovBit } from '../config-space/index.ts';
import { VirtualState } from '../config-space/function-state.ts';
import type { TopologyFunction } from '../topology/index.ts';
import type { PciFunction } from './pci-function.ts';

/**
 * What the SR-IOV capability of a physical function makes of one of its virtual functions: bits of {@link VirtualState}.
 * Only virtual functions that the machine's description names can be enabled.
 */
export function virtualStateOf({ config, topology }: PciFunction, vf: TopologyFunction): number {
  const at = config.extCapabilityAt(ExtCapId.SRIOV);
  if (at === 0) return 0;
  const { vfOffset = 1, vfStride = 1 } = topology.description.sriov ?? {};
  const index = (vf.requesterId - topology.requesterId - vfOffset) / Math.max(1, vfStride);
  const control = config.peek(at + SRIOV_CTRL, 2);
  const enabled = (control & SriovBit.ENABLE) !== 0 && index < config.peek(at + SRIOV_NUM_VFS, 2);
  const memory = (control & SriovBit.MEMORY) !== 0;
  const moved = movedBars(config, at) * VirtualState.BAR_MOVED_0;
  return (enabled ? 0 : VirtualState.DISABLED) | (memory ? 0 : VirtualState.MEMORY_OFF) | moved;
}

/** Bit i: the capability's registers of BAR i do not hold what they held at start. */
function movedBars(config: ConfigSpace, at: number): number {
  let moved = 0;
  for (let i = 0; i < 6; i++) {
    const register = at + SRIOV_BAR_0 + 4 * i;
    if (config.peek(register, 4) === config.initial(register, 4)) continue;
    moved |= 1 << i;
    const isUpperHalf = i > 0 && (config.initial(register - 4, 1) & 0x7) === 0x4;
    if (isUpperHalf) moved |= 1 << (i - 1);
  }
  return moved;
}
