import { PcieType, type TopologyFunction } from '../topology/index.ts';
import { deviceIds } from './device-ids.ts';

const INTEL = 0x8086;

/** Whether a function is a root port of Intel with one of these ids, as far as its ids are known. */
function isPortOf(fn: TopologyFunction, ids: ReadonlySet<number>): boolean | 'unknown' {
  const isPort = fn.pcieType === 'unknown' ? fn.isBridge && 'unknown' : fn.pcieType === PcieType.RootPort;
  if (isPort === false || (fn.vendor !== null && fn.vendor !== INTEL)) return false;
  if (fn.device !== null && !ids.has(fn.device)) return false;
  return fn.vendor === null || fn.device === null ? 'unknown' : isPort;
}

const WIDE_ACS_PORTS = deviceIds('a110-a11f a167-a16a a290-a29f a2e7-a2ee 9d10-9d1b');

/**
 * Whether this is an Intel PCH root port whose ACS words are 32 bits wide: the control word stands two bytes further,
 * so what sits at the standard place is not changed when isolation is switched on.
 *
 * @kernel pci_quirk_intel_spt_pch_acs_match
 */
export function hasIntelWideRegisters(fn: TopologyFunction): boolean | 'unknown' {
  return isPortOf(fn, WIDE_ACS_PORTS);
}

const PCH_PORTS = deviceIds(
  [
    // Ibex Peak, Cougar Point, Panther Point, Lynx Point
    '3b42-3b51 1c10-1c1f 1e10-1e1f 8c10-8c1f',
    // Lynx Point-LP, Wildcat Point-LP
    '9c10-9c1b 9c90-9c9b',
    // Patsburg (X79), Wellsburg (X99)
    '1d10 1d12 1d14 1d16 1d18 1d1a 1d1c 1d1e 8d10-8d1e',
    // 9 series
    '8c90 8c92 8c94 8c96 8c98 8c9a 8c9c 8c9e',
  ].join(' '),
);

/**
 * Whether this is an Intel PCH root port without the ACS capability, isolated by chipset registers instead.
 *
 * @kernel pci_quirk_intel_pch_acs_match
 */
export function isIntelPchPort(fn: TopologyFunction): boolean | 'unknown' {
  return isPortOf(fn, PCH_PORTS);
}
