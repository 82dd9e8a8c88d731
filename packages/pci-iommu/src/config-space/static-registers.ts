import { ACS_ALL_BITS, type BarDescription, type TopologyFunction } from '../topology/index.ts';
import {
  ACS_CAP,
  AF_CAPABILITIES,
  AF_LENGTH,
  BAR_IO,
  BAR_MEM_64,
  BAR_PREFETCH,
  CapAt,
  CapId,
  EXP_DEVCAP,
  EXP_DEVCAP_FLR,
  ExtCapId,
  PCI_STATUS_CAP_LIST,
  PM_CAPABILITIES,
  Reg,
} from './registers.ts';

const HEADER_TYPE_BRIDGE = 1;
const HEADER_MULTIFUNCTION = 0x80;
const ROLE_BASED_ERRORS = 0x8000;
const SRIOV_VF_ENABLE_MEMORY = 0x9;

/** What a BAR's register holds at start and which of its bits can be written. */
export interface BarRegister {
  readonly value: number;
  readonly writable: number;
  /** Type bits: always read so. */
  readonly fixed: number;
  /** BAR that the register belongs to. */
  readonly bar: number;
}

/** Which capabilities a function has. */
export interface Capabilities {
  readonly pm: boolean;
  readonly exp: boolean;
  /** Advanced features: how a conventional PCI function is reset. */
  readonly af: boolean;
  readonly acs: boolean;
  readonly sriov: boolean;
}

/** The capabilities that a function's description names. */
export function capabilitiesOf(fn: TopologyFunction): Capabilities {
  const exp = fn.pcieType !== null;
  const { acs, description } = fn;
  return {
    pm: description.pm,
    exp,
    af: !exp && description.flr,
    acs: exp && acs !== null && acs !== 'unknown',
    sriov: exp && description.sriov !== undefined,
  };
}

/** The registers of a function that never change, by offset; those not named read as 0. */
export function staticRegisters(fn: TopologyFunction): ReadonlyMap<number, number> {
  const caps = capabilitiesOf(fn);
  const map = new Map<number, number>();
  map.set(Reg.VENDOR, fn.isVirtualFunction ? -1 : words(fn.vendor ?? 0xffff, fn.device ?? 0xffff));
  map.set(Reg.COMMAND, words(0, caps.pm || caps.exp || caps.af ? PCI_STATUS_CAP_LIST : 0));
  map.set(Reg.CLASS_REVISION, ((fn.classCode ?? 0) << 8) | 1);
  map.set(
    Reg.CACHE_LINE,
    ((fn.isBridge ? HEADER_TYPE_BRIDGE : 0) | (fn.multifunction ? HEADER_MULTIFUNCTION : 0)) << 16,
  );
  const next = caps.exp ? CapAt.EXP : caps.af ? CapAt.AF : 0;
  map.set(Reg.CAPABILITY_LIST, caps.pm ? CapAt.PM : next);
  map.set(Reg.INTERRUPT, fn.isVirtualFunction ? 0 : 0x100);
  if (fn.isBridge) map.set(Reg.BUS_NUMBERS, fn.bus | ((fn.secondary ?? 0) << 8) | ((fn.subordinate ?? 0) << 16));
  else map.set(Reg.SUBSYSTEM, words(fn.vendor ?? 0, fn.device ?? 0));
  if (caps.pm) map.set(CapAt.PM, CapId.PM | (next << 8) | (PM_CAPABILITIES << 16));
  if (caps.af) map.set(CapAt.AF, CapId.AF | (AF_LENGTH << 16) | (AF_CAPABILITIES << 24));
  if (caps.exp) addExpressCapabilities(map, fn, caps);
  return map;
}

function addExpressCapabilities(map: Map<number, number>, fn: TopologyFunction, caps: Capabilities): void {
  const type = typeof fn.pcieType === 'number' ? fn.pcieType : 0;
  map.set(CapAt.EXP, CapId.EXP | ((2 | (type << 4)) << 16));
  map.set(CapAt.EXP + EXP_DEVCAP, ROLE_BASED_ERRORS | (fn.description.flr ? EXP_DEVCAP_FLR : 0));
  const chain: (readonly [at: number, id: number])[] = [[CapAt.AER, ExtCapId.AER]];
  if (caps.acs) chain.push([CapAt.ACS, ExtCapId.ACS]);
  if (caps.sriov) chain.push([CapAt.SRIOV, ExtCapId.SRIOV]);
  chain.forEach(([at, id], i) => map.set(at, id | (1 << 16) | ((chain[i + 1]?.[0] ?? 0) << 20)));
  const { acs } = fn;
  if (caps.acs && acs !== null && acs !== 'unknown') map.set(CapAt.ACS + ACS_CAP, acs.cap & ACS_ALL_BITS);
  const { sriov } = fn.description;
  if (sriov === undefined) return;
  map.set(CapAt.SRIOV + 8, sriov.numVfs > 0 ? SRIOV_VF_ENABLE_MEMORY : 0);
  map.set(CapAt.SRIOV + 12, words(sriov.totalVfs, sriov.totalVfs));
  map.set(CapAt.SRIOV + 16, words(sriov.numVfs, 0));
  map.set(CapAt.SRIOV + 20, words(sriov.vfOffset, sriov.vfStride));
  map.set(CapAt.SRIOV + 24, words(0, sriov.vfDevice ?? 0xffff));
}

/** The six BAR registers; `null` for those that are not implemented. VFs have none: their PF's capability holds them. */
export function barRegisters(fn: TopologyFunction): readonly (BarRegister | null)[] {
  const registers: (BarRegister | null)[] = [null, null, null, null, null, null];
  if (fn.isVirtualFunction) return registers;
  for (const bar of fn.bars) {
    const fixed = typeBits(bar);
    const unassigned = bar.flags?.includes('unassigned') === true;
    const address = unassigned ? 0 : bar.start + (bar.kind === 'io' ? 0 : fn.hostBridge.busOffsetAt(bar.start));
    const sizeMask = -bar.size;
    registers[bar.index] = {
      value: address | 0 | fixed,
      writable: low(sizeMask) & ~0xf & ~fixed,
      fixed,
      bar: bar.index,
    };
    if (bar.kind === 'io')
      registers[bar.index] = { value: address | fixed, writable: low(sizeMask) & ~3, fixed, bar: bar.index };
    if (bar.kind === 'mem64') {
      registers[bar.index + 1] = { value: high(address), writable: high(sizeMask), fixed: 0, bar: bar.index };
    }
  }
  return registers;
}

/** A bit for every BAR that there can be. */
export const ALL_BARS = 0x3f;

/** Bit i: the registers of BAR i hold the address that it was assigned. @param holds - content of register i */
export function intactBars(registers: readonly (BarRegister | null)[], holds: (i: number) => number): number {
  let bits = 0;
  let moved = 0;
  registers.forEach((register, i) => {
    if (register === null) return;
    bits |= 1 << register.bar;
    if (holds(i) !== register.value) moved |= 1 << register.bar;
  });
  return bits & ~moved;
}

function typeBits(bar: BarDescription): number {
  if (bar.kind === 'io') return BAR_IO;
  return (bar.kind === 'mem64' ? BAR_MEM_64 : 0) | (bar.prefetchable ? BAR_PREFETCH : 0);
}

/** Low and high 32 bits of a number, negative ones in two's complement. */
function low(value: number): number {
  return value | 0;
}

function high(value: number): number {
  return Math.floor(value / 2 ** 32) | 0;
}

function words(lowHalf: number, highHalf: number): number {
  return lowHalf | (highHalf << 16);
}
