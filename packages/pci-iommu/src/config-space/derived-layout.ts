import type { TopologyFunction } from '../topology/index.ts';
import { type BarRegister, barRegisters } from './layout/bar-registers.ts';
import { type ConfigLayout, layOutConfig } from './layout/config-layout.ts';
import { type RegisterEffect, registerEffects } from './register-effects.ts';
import { ACS_CAP, AER_UNCORRECTABLE_STATUS, CapId, EXP_DEVCTL, ExtCapId, PM_CTRL, SRIOV_CTRL } from './registers.ts';

/** Which capabilities a function has. */
export interface Capabilities {
  readonly pm: boolean;
  readonly exp: boolean;
  /** Advanced features: how a conventional PCI function is reset. */
  readonly af: boolean;
  readonly acs: boolean;
  readonly sriov: boolean;
}

/** What a function's registers are like, by its description. Offsets are those of dwords; 0 for what it does not have. */
export interface DerivedLayout {
  readonly layout: ConfigLayout;
  readonly effects: ReadonlyMap<number, RegisterEffect>;
  readonly bars: readonly (BarRegister | null)[];
  readonly capabilities: Capabilities;
  readonly pmControl: number;
  /** Its upper half is device status. */
  readonly deviceControl: number;
  /** Its upper half is ACS control. */
  readonly acs: number;
  readonly aerStatus: number;
  readonly sriovControl: number;
}

/** Lays a function's registers out. */
export function deriveLayout(fn: TopologyFunction): DerivedLayout {
  const layout = layOutConfig(fn);
  const find = (id: number, extended: boolean, register: number): number => {
    const place = layout.capabilities.find((candidate) => candidate.id === id && candidate.extended === extended);
    return place === undefined ? 0 : place.at + register;
  };
  const derived = {
    pmControl: find(CapId.PM, false, PM_CTRL),
    deviceControl: find(CapId.EXP, false, EXP_DEVCTL),
    acs: find(ExtCapId.ACS, true, ACS_CAP),
    aerStatus: find(ExtCapId.AER, true, AER_UNCORRECTABLE_STATUS),
    sriovControl: find(ExtCapId.SRIOV, true, SRIOV_CTRL),
  };
  return {
    layout,
    effects: registerEffects(layout),
    bars: barRegisters(fn, fn.isVirtualFunction ? [] : fn.bars),
    ...derived,
    capabilities: {
      pm: derived.pmControl !== 0,
      exp: derived.deviceControl !== 0,
      af: find(CapId.AF, false, 0) !== 0,
      acs: derived.acs !== 0,
      sriov: derived.sriovControl !== 0,
    },
  };
}
