import type { ConfigLayout } from './layout/config-layout.ts';
import { msiRegisters } from './layout/msi-registers.ts';
import {
  AF_CTRL,
  ACS_CAP,
  CapId,
  EXP_DEVCTL,
  ExtCapId,
  MSI_FLAGS,
  PM_CTRL,
  PRI_CTRL,
  Reg,
  SRIOV_BAR_0,
  SRIOV_CTRL,
  SRIOV_NUM_VFS,
} from './registers.ts';

/** What a write to a register does beside changing bits. */
export type RegisterEffect =
  | 'command'
  | 'power'
  | 'flr'
  | 'af'
  | 'acs'
  | 'pri'
  | 'sriov'
  | 'vf-count'
  | 'vf-bar'
  | 'msi';

/** Effects by offset of the dword. */
export function registerEffects(layout: ConfigLayout): ReadonlyMap<number, RegisterEffect> {
  const effects = new Map<number, RegisterEffect>([[Reg.COMMAND, 'command']]);
  for (const { id, at, extended } of layout.capabilities) {
    const place = (offset: number, effect: RegisterEffect): void => void effects.set((at + offset) & ~3, effect);
    if (extended) {
      if (id === ExtCapId.ACS) place(ACS_CAP, 'acs');
      if (id === ExtCapId.PRI) place(PRI_CTRL, 'pri');
      if (id === ExtCapId.SRIOV) place(SRIOV_CTRL, 'sriov');
      if (id === ExtCapId.SRIOV) place(SRIOV_NUM_VFS, 'vf-count');
      if (id === ExtCapId.SRIOV) for (let i = 0; i < 6; i++) place(SRIOV_BAR_0 + 4 * i, 'vf-bar');
      continue;
    }
    if (id === CapId.PM) place(PM_CTRL, 'power');
    if (id === CapId.EXP) place(EXP_DEVCTL, 'flr');
    if (id === CapId.AF) place(AF_CTRL, 'af');
    if (id === CapId.MSIX) place(0, 'msi');
    if (id !== CapId.MSI) continue;
    const { flags, mask } = msiRegisters(at, layout.bytes[at + MSI_FLAGS]! | (layout.bytes[at + MSI_FLAGS + 1]! << 8));
    effects.set(flags & ~3, 'msi');
    if (mask !== null) effects.set(mask, 'msi');
  }
  return effects;
}
