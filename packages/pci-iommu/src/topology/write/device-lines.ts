import { barLines, windowLines } from './bar-text.ts';
import type { FunctionView } from './function-view.ts';
import { flag, flags, hexDigits, linesAt, type TextLine } from './words.ts';

const COMMAND_FLAGS = [
  'I/O',
  'Mem',
  'BusMaster',
  'SpecCycle',
  'MemWINV',
  'VGASnoop',
  'ParErr',
  'Stepping',
  'SERR',
  'FastB2B',
  'DisINTx',
] as const;
const BUS_MASTER = 0x4;
const CACHE_LINE_UNIT = 4;
const PINS = ['', 'A', 'B', 'C', 'D'] as const;

const At = {
  command: 0x04,
  status: 0x06,
  cacheLine: 0x0c,
  latency: 0x0d,
  secondaryLatency: 0x1b,
  secondaryStatus: 0x1e,
  interruptLine: 0x3c,
  interruptPin: 0x3d,
  bridgeControl: 0x3e,
} as const;

/** What is listed of a device before its capabilities. */
export function deviceLines(view: FunctionView, group: number | undefined): readonly TextLine[] {
  const { fn } = view;
  const { numaNode } = fn.description;
  return [
    ...linesAt(
      1,
      `Control: ${flags(view.read(At.command, 2), COMMAND_FLAGS)}`,
      `Status: ${statusText(view)}`,
      ...latencyText(view),
      ...interruptText(view),
      ...(numaNode === undefined ? [] : [`NUMA node: ${numaNode}`]),
      ...(group === undefined ? [] : [`IOMMU group: ${group}`]),
    ),
    ...barLines(fn),
    ...(fn.isBridge ? bridgeLines(view) : []),
  ];
}

function statusText(view: FunctionView): string {
  const status = view.read(At.status, 2);
  // Bit 4 claims a list; where nothing of it is known, `lspci` would show it as hidden.
  const bit = (mask: number): boolean => (status & mask) !== 0;
  return [
    flag('Cap', bit(0x10)),
    flag('66MHz', bit(0x20)),
    flag('UDF', bit(0x40)),
    flag('FastB2B', bit(0x80)),
    ...transferStatus(status),
    flag('>SERR', bit(0x4000)),
    flag('<PERR', bit(0x8000)),
    flag('INTx', bit(0x8)),
  ].join(' ');
}

function latencyText(view: FunctionView): readonly string[] {
  if ((view.read(At.command, 2) & BUS_MASTER) === 0) return [];
  const line = view.read(At.cacheLine, 1) * CACHE_LINE_UNIT;
  return [`Latency: ${view.read(At.latency, 1)}${line === 0 ? '' : `, Cache Line Size: ${line} bytes`}`];
}

function interruptText(view: FunctionView): readonly string[] {
  const pin = PINS[view.read(At.interruptPin, 1)] ?? '?';
  return pin === '' ? [] : [`Interrupt: pin ${pin} routed to IRQ ${view.read(At.interruptLine, 1)}`];
}

function bridgeLines(view: FunctionView): readonly TextLine[] {
  const { fn } = view;
  const control = view.read(At.bridgeControl, 2);
  const status = view.read(At.secondaryStatus, 2);
  const bus = (value: number | null): string => hexDigits(value ?? 0, 2);
  const buses = `primary=${bus(fn.bus)}, secondary=${bus(fn.secondary)}, subordinate=${bus(fn.subordinate)}`;
  return [
    ...linesAt(1, `Bus: ${buses}, sec-latency=${view.read(At.secondaryLatency, 1)}`),
    ...windowLines(fn.windows),
    ...linesAt(
      1,
      `Secondary status: ${secondaryStatus(status)}`,
      `BridgeCtl: ${flags(control, ['Parity', 'SERR', 'NoISA', 'VGA', 'VGA16', 'MAbort', '>Reset', 'FastB2B'])}`,
    ),
    ...linesAt(2, flags(control >>> 8, ['PriDiscTmr', 'SecDiscTmr', 'DiscTmrStat', 'DiscTmrSERREn'])),
  ];
}

/** What both status registers of a bridge tell of transfers. */
function transferStatus(status: number): string[] {
  return [
    flag('ParErr', (status & 0x100) !== 0),
    `DEVSEL=${['fast', 'medium', 'slow', '??'][(status >>> 9) & 3] ?? ''}`,
    flag('>TAbort', (status & 0x800) !== 0),
    flag('<TAbort', (status & 0x1000) !== 0),
    flag('<MAbort', (status & 0x2000) !== 0),
  ];
}

function secondaryStatus(status: number): string {
  const bit = (mask: number): boolean => (status & mask) !== 0;
  return [
    flag('66MHz', bit(0x20)),
    flag('FastB2B', bit(0x80)),
    ...transferStatus(status),
    flag('<SERR', bit(0x4000)),
    flag('<PERR', bit(0x8000)),
  ].join(' ');
}
