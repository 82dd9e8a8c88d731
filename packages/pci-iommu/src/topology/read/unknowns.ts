import { formatBus, parseBdf } from '../bdf.ts';
import type { FunctionDescription, MachineDescription } from '../description/machine-description.ts';
import type { Unknown } from './machine-reading.ts';

/** Processors whose family decides whether host bridges forward peer-to-peer traffic, and those that may be one. */
const FAMILY_COUNTS: ReadonlySet<string> = new Set(['AMD', 'unknown']);

/** What a description itself shows as not known. */
export function unknownsOf(description: MachineDescription): readonly Unknown[] {
  const { vendor, family } = description.cpu;
  const cpu = `processor family of ${vendor} is not told; give it, peer-to-peer rules depend on it`;
  const assumed = new Set(
    description.hostBridges
      .filter((bridge) => bridge.assumed === true)
      .map(({ domain, bus }) => formatBus(domain, bus)),
  );
  return [
    ...(family === null && FAMILY_COUNTS.has(vendor) ? [{ bdf: null, what: 'cpu' as const, text: cpu }] : []),
    ...description.functions.flatMap((fn) => [
      ...unknownParent(fn, assumed),
      ...unknownIdentity(fn),
      ...unknownAcs(fn),
      ...unknownBars(fn),
    ]),
  ];
}

function unknownParent({ bdf, physfn }: FunctionDescription, assumed: ReadonlySet<string>): readonly Unknown[] {
  if (assumed.size === 0 || physfn !== undefined) return [];
  const parts = parseBdf(bdf);
  const bus = formatBus(parts.domain, parts.bus);
  if (!assumed.has(bus)) return [];
  return [{ bdf, what: 'parent', text: `no listed bridge leads to bus ${bus}, so it is taken as a root bus` }];
}

function unknownIdentity(fn: FunctionDescription): readonly Unknown[] {
  const { bdf, kind } = fn;
  const unknowns: Unknown[] = [];
  if (fn.vendor === null || fn.device === null) {
    unknowns.push({ bdf, what: 'ids', text: 'vendor and device id are not told; lspci -nn shows them' });
  }
  if (fn.class === null) unknowns.push({ bdf, what: 'class', text: 'class is not told; lspci -nn shows it' });
  if (fn.pcieType === 'unknown' || kind === 'unknown-bridge' || kind === 'unknown-device') {
    unknowns.push({ bdf, what: 'pcie-type', text: 'PCIe port type is not told; lspci -v as root shows it' });
  }
  return unknowns;
}

function unknownAcs({ bdf, acs, acsControlIfAny }: FunctionDescription): readonly Unknown[] {
  if (acs !== 'unknown') return [];
  if (acsControlIfAny === undefined) {
    return [{ bdf, what: 'acs', text: 'ACS registers are not told; lspci -vvv as root shows them' }];
  }
  const control = `0x${acsControlIfAny.toString(16).padStart(2, '0')}`;
  return [{ bdf, what: 'acs', text: `whether it has ACS is not told; if it has, its control word is ${control}` }];
}

function unknownBars({ bdf, bars }: FunctionDescription): readonly Unknown[] {
  const unknowns: Unknown[] = [];
  const sizeless = bars.filter((bar) => bar.flags?.includes('size-unknown') === true).map((bar) => bar.index);
  if (sizeless.length > 0) {
    const text = `size of BAR ${sizeless.join(', ')} is not told, nothing answers there; lspci -v shows it`;
    unknowns.push({ bdf, what: 'bar-size', text });
  }
  if (bars.some((bar) => bar.flags?.includes('index-assumed') === true)) {
    unknowns.push({ bdf, what: 'bar-index', text: 'BARs are not numbered and taken in order; lspci -vv numbers them' });
  }
  return unknowns;
}
