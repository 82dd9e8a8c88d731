import { PcieType } from '../pcie-type.ts';
import type { FunctionView } from './function-view.ts';
import { flag, flags, hexDigits, linesAt, type TextLine } from './words.ts';

const TYPE_NAMES: ReadonlyMap<number, string> = new Map([
  [PcieType.Endpoint, 'Endpoint'],
  [PcieType.LegacyEndpoint, 'Legacy Endpoint'],
  [PcieType.RootPort, 'Root Port'],
  [PcieType.UpstreamPort, 'Upstream Port'],
  [PcieType.DownstreamPort, 'Downstream Port'],
  [PcieType.PcieToPciBridge, 'PCI-Express to PCI/PCI-X Bridge'],
  [PcieType.PciToPcieBridge, 'PCI/PCI-X to PCI-Express Bridge'],
  [PcieType.RootComplexEndpoint, 'Root Complex Integrated Endpoint'],
  [PcieType.RootComplexEventCollector, 'Root Complex Event Collector'],
]);
const SPEEDS = ['unknown', '2.5GT/s', '5GT/s', '8GT/s', '16GT/s', '32GT/s', '64GT/s'] as const;
const ASPM_CONTROL = ['ASPM Disabled', 'ASPM L0s Enabled', 'ASPM L1 Enabled', 'ASPM L0s L1 Enabled'] as const;
const L0S_LATENCIES = ['<64ns', '<128ns', '<256ns', '<512ns', '<1us', '<2us', '<4us', 'unlimited'] as const;
const L1_LATENCIES = ['<1us', '<2us', '<4us', '<8us', '<16us', '<32us', '<64us', 'unlimited'] as const;
const L0S_EXITS = ['<64ns', '<128ns', '<256ns', '<512ns', '<1us', '<2us', '<4us', '>4us'] as const;
const L1_EXITS = ['<1us', '<2us', '<4us', '<8us', '<16us', '<32us', '<64us', '>64us'] as const;
const FLR = 0x1000_0000;
const SLOT_IMPLEMENTED = 0x100;

/** `Express (v2) Root Port (Slot+), MSI 00` and what is below it. */
export function expressName(view: FunctionView, at: number): string {
  const caps = view.read(at + 2, 2);
  const type = (caps >>> 4) & 0xf;
  const hasSlot = type === PcieType.RootPort || type === PcieType.DownstreamPort;
  const slot = hasSlot ? ` (${flag('Slot', (caps & SLOT_IMPLEMENTED) !== 0)})` : '';
  const name = TYPE_NAMES.get(type) ?? `Unknown type ${type}`;
  return `Express (v${caps & 0xf}) ${name}${slot}, MSI ${hexDigits((caps >>> 9) & 0x1f, 2)}`;
}

/** Device and link registers. */
export function expressLines(view: FunctionView, at: number): readonly TextLine[] {
  const type = (view.read(at + 2, 2) >>> 4) & 0xf;
  return [
    ...capabilityLines(type, view.read(at + 4, 4)),
    ...controlLines(view, at, type),
    ...(view.read(at + 0x0c, 4) === 0 ? [] : linkLines(view, at)),
  ];
}

/** Types that are shown with latencies, buttons, reset and power limit. */
const WITH_LATENCY: ReadonlySet<number> = new Set([PcieType.Endpoint, PcieType.LegacyEndpoint]);
const WITH_RESET: ReadonlySet<number> = new Set([...WITH_LATENCY, PcieType.RootComplexEndpoint]);
const WITH_BUTTONS: ReadonlySet<number> = new Set([...WITH_LATENCY, PcieType.UpstreamPort, PcieType.PcieToPciBridge]);
const WITH_POWER: ReadonlySet<number> = new Set([PcieType.Endpoint, PcieType.UpstreamPort, PcieType.PcieToPciBridge]);

function capabilityLines(type: number, cap: number): readonly TextLine[] {
  const bit = (mask: number): boolean => (cap & mask) !== 0;
  const latencies = `, Latency L0s ${L0S_LATENCIES[(cap >>> 6) & 7] ?? ''}, L1 ${L1_LATENCIES[(cap >>> 9) & 7] ?? ''}`;
  const sizes = `MaxPayload ${128 << (cap & 7)} bytes, PhantFunc ${(cap >>> 3) & 3}`;
  const words = [
    flag('ExtTag', bit(0x20)),
    ...(WITH_BUTTONS.has(type) ? [flags(cap >>> 12, ['AttnBtn', 'AttnInd', 'PwrInd'])] : []),
    flag('RBE', bit(0x8000)),
    // Ports have no reset of their own; the flag is shown when one says so all the same.
    ...(WITH_RESET.has(type) || bit(FLR) ? [flag('FLReset', bit(FLR))] : []),
    ...(WITH_POWER.has(type) ? [`SlotPowerLimit ${slotPower(cap)}W`] : []),
  ];
  return [...linesAt(2, `DevCap:\t${sizes}${WITH_LATENCY.has(type) ? latencies : ''}`), ...linesAt(3, words.join(' '))];
}

function controlLines(view: FunctionView, at: number, type: number): readonly TextLine[] {
  const control = view.read(at + 8, 2);
  const canReset = WITH_RESET.has(type) && (view.read(at + 4, 4) & FLR) !== 0;
  const reset = canReset ? ` ${flag('FLReset', (control & 0x8000) !== 0)}` : '';
  const sizes = `MaxPayload ${128 << ((control >>> 5) & 7)} bytes, MaxReadReq ${128 << ((control >>> 12) & 7)} bytes`;
  return [
    ...linesAt(2, `DevCtl:\t${flags(control, ['CorrErr', 'NonFatalErr', 'FatalErr', 'UnsupReq'])}`),
    ...linesAt(
      3,
      `${flag('RlxdOrd', (control & 0x10) !== 0)} ${flags(control >>> 8, ['ExtTag', 'PhantFunc', 'AuxPwr', 'NoSnoop'])}${reset}`,
      sizes,
    ),
    ...linesAt(
      2,
      `DevSta:\t${flags(view.read(at + 0x0a, 2), ['CorrErr', 'NonFatalErr', 'FatalErr', 'UnsupReq', 'AuxPwr', 'TransPend'])}`,
    ),
  ];
}

/** Limit in watts: 8 bits of value, 2 bits of scale. */
function slotPower(cap: number): string {
  const scales = [1, 0.1, 0.01, 0.001];
  return (((cap >>> 18) & 0xff) * (scales[(cap >>> 26) & 3] ?? 1)).toFixed(3);
}

function linkLines(view: FunctionView, at: number): readonly TextLine[] {
  const cap = view.read(at + 0x0c, 4);
  const control = view.read(at + 0x10, 2);
  const status = view.read(at + 0x12, 2);
  const width = (value: number): number => (value >>> 4) & 0x3f;
  const isRoot = ((view.read(at + 2, 2) >>> 4) & 0xf) === PcieType.RootPort;
  const isPort = isRoot || ((view.read(at + 2, 2) >>> 4) & 0xf) === PcieType.DownstreamPort;
  const boundary = isPort && !isRoot ? '' : ` RCB ${(control & 0x8) === 0 ? 64 : 128} bytes,`;
  return [
    ...linesAt(2, `LnkCap:\tPort #${cap >>> 24}, Speed ${speed(cap)}, Width x${width(cap)}, ${powerManagement(cap)}`),
    ...linesAt(3, flags(cap >>> 18, ['ClockPM', 'Surprise', 'LLActRep', 'BwNot', 'ASPMOptComp'])),
    ...linesAt(
      2,
      `LnkCtl:\t${ASPM_CONTROL[control & 3] ?? ''};${boundary} ${flag('Disabled', (control & 0x10) !== 0)} ${flag('CommClk', (control & 0x40) !== 0)}`,
    ),
    ...linesAt(3, flags(control >>> 7, ['ExtSynch', 'ClockPM', 'AutWidDis', 'BWInt', 'AutBWInt'])),
    ...linesAt(
      2,
      `LnkSta:\tSpeed ${speed(status)}${isPort ? '' : degraded(status & 0xf, cap & 0xf)}, Width x${width(status)}${isPort ? '' : degraded(width(status), width(cap))}`,
    ),
    ...linesAt(3, flags(status >>> 10, ['TrErr', 'Train', 'SlotClk', 'DLActive', 'BWMgmt', 'ABWMgmt'])),
  ];
}

function speed(register: number): string {
  return SPEEDS[register & 0xf] ?? 'unknown';
}

/** How a link that is up compares with what it could be. */
function degraded(now: number, most: number): string {
  return now === most ? '' : now < most ? ' (downgraded)' : ' (overdriven)';
}

function powerManagement(cap: number): string {
  const support = (cap >>> 10) & 3;
  const names = ['not supported', 'L0s', 'L1', 'L0s L1'];
  if (support === 0) return `ASPM ${names[0] ?? ''}`;
  const exits = [
    ...((support & 1) === 0 ? [] : [`L0s ${L0S_EXITS[(cap >>> 12) & 7] ?? ''}`]),
    ...((support & 2) === 0 ? [] : [`L1 ${L1_EXITS[(cap >>> 15) & 7] ?? ''}`]),
  ];
  return `ASPM ${names[support] ?? ''}, Exit Latency ${exits.join(', ')}`;
}
