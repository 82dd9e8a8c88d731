import { ACS_ALL_BITS, type AcsKnowledge } from '../acs.ts';
import { type Bdf, formatBdf, tryParseBdf } from '../bdf.ts';
import { FUNCTION_KINDS, isPcieType, type PcieType } from '../pcie-type.ts';
import { readConfig, readMsi, readMsix, readResizableBar } from './read-capabilities.ts';
import { FieldReader } from './field-reader.ts';
import {
  BAR_FLAGS,
  BAR_KINDS,
  BRIDGE_WINDOW_KINDS,
  type BarDescription,
  type BridgeWindowDescription,
  type FunctionDescription,
  type RomDescription,
  type SriovDescription,
} from './machine-description.ts';

const MAX_16_BITS = 0xffff;
const MAX_32_BITS = 0xffff_ffff;
const MAX_PASID_BITS = 20;
const MAX_CLASS = 0xff_ffff;
const MAX_BUS = 0xff;
const MAX_BAR_INDEX = 5;

/** Reads one function of a machine description; checks shapes and ranges, not how functions fit together. */
export function readFunction(value: unknown, path: string): FunctionDescription {
  const reader = new FieldReader(value, path);
  const description: FunctionDescription = {
    bdf: readBdf(reader, 'bdf'),
    vendor: reader.wholeOrNull('vendor', MAX_16_BITS),
    device: reader.wholeOrNull('device', MAX_16_BITS),
    class: reader.wholeOrNull('class', MAX_CLASS),
    ...optional(reader, 'name', () => reader.text('name')),
    kind: reader.oneOf('kind', FUNCTION_KINDS),
    ...optional(reader, 'pcieType', () => readPcieType(reader)),
    ...optional(reader, 'multifunction', () => reader.flag('multifunction')),
    ...optional(reader, 'parent', () => readBdf(reader, 'parent')),
    ...optional(reader, 'secondary', () => reader.whole('secondary', MAX_BUS)),
    ...optional(reader, 'subordinate', () => reader.whole('subordinate', MAX_BUS)),
    bars: reader.each('bars', readBar),
    ...optional(reader, 'rom', () => readRom(reader.raw('rom'), reader.pathOf('rom'))),
    ...optional(reader, 'windows', () => reader.each('windows', readBridgeWindow)),
    acs: readAcs(reader),
    ...optional(reader, 'acsControlIfAny', () => readAcsControlIfAny(reader)),
    ...optional(reader, 'acsListed', () => reader.flag('acsListed')),
    flr: reader.flag('flr'),
    pm: reader.flag('pm'),
    ...optional(reader, 'ats', () => reader.flag('ats')),
    ...optional(reader, 'command', () => reader.whole('command', MAX_16_BITS)),
    ...optional(reader, 'numaNode', () => reader.whole('numaNode', MAX_16_BITS)),
    ...optional(reader, 'physfn', () => readBdf(reader, 'physfn')),
    ...optional(reader, 'sriov', () => readSriov(reader.raw('sriov'), reader.pathOf('sriov'))),
    ...optional(reader, 'nonMappableBars', () => reader.flag('nonMappableBars')),
    ...optional(reader, 'msi', () => readMsi(reader.raw('msi'), reader.pathOf('msi'))),
    ...optional(reader, 'msix', () => readMsix(reader.raw('msix'), reader.pathOf('msix'))),
    ...optional(reader, 'pri', () => reader.whole('pri', MAX_32_BITS)),
    ...optional(reader, 'pasid', () => reader.whole('pasid', MAX_PASID_BITS)),
    ...optional(reader, 'resizableBars', () => reader.each('resizableBars', readResizableBar)),
    ...optional(reader, 'config', () => readConfig(reader.raw('config'), reader.pathOf('config'))),
  };
  reader.end();
  return description;
}

function optional<K extends keyof FunctionDescription>(
  reader: FieldReader,
  field: K,
  read: () => NonNullable<FunctionDescription[K]> | null,
): Partial<Pick<FunctionDescription, K>> {
  if (!reader.has(field)) return {};
  return { [field]: read() } as Partial<Pick<FunctionDescription, K>>;
}

function readBdf(reader: FieldReader, field: string): Bdf {
  const parts = tryParseBdf(reader.text(field));
  if (parts === undefined) reader.fail(field, 'a PCI function such as "0000:41:00.0"');
  return formatBdf(parts);
}

function readPcieType(reader: FieldReader): PcieType | null | 'unknown' {
  const value = reader.raw('pcieType');
  if (value === null || value === 'unknown') return value;
  if (typeof value === 'number' && isPcieType(value)) return value;
  return reader.fail('pcieType', 'a PCIe device/port type (0, 1, 4..10), null or "unknown"');
}

function readBar(value: unknown, path: string): BarDescription {
  const reader = new FieldReader(value, path);
  const bar: BarDescription = {
    index: reader.whole('index', MAX_BAR_INDEX),
    start: reader.whole('start'),
    size: reader.whole('size'),
    kind: reader.oneOf('kind', BAR_KINDS),
    prefetchable: reader.flag('prefetchable'),
    ...(reader.has('flags') ? { flags: readBarFlags(reader) } : {}),
  };
  reader.end();
  return bar;
}

function readBarFlags(reader: FieldReader): NonNullable<BarDescription['flags']> {
  return reader.list('flags').map((flag) => {
    const found = BAR_FLAGS.find((candidate) => candidate === flag);
    return found ?? reader.fail('flags', `a list of ${BAR_FLAGS.join(', ')}`);
  });
}

function readRom(value: unknown, path: string): RomDescription {
  const reader = new FieldReader(value, path);
  const rom: RomDescription = { start: reader.whole('start'), size: reader.whole('size') };
  reader.end();
  return rom;
}

function readBridgeWindow(value: unknown, path: string): BridgeWindowDescription {
  const reader = new FieldReader(value, path);
  const window: BridgeWindowDescription = {
    kind: reader.oneOf('kind', BRIDGE_WINDOW_KINDS),
    start: reader.whole('start'),
    end: reader.whole('end'),
  };
  if (window.end < window.start) reader.fail('end', `an address at or above start 0x${window.start.toString(16)}`);
  reader.end();
  return window;
}

function readAcs(reader: FieldReader): AcsKnowledge {
  const value = reader.raw('acs');
  if (value === null || value === 'unknown') return value;
  if (value === undefined) reader.fail('acs', '{cap, ctrl}, null or "unknown"');
  const registers = new FieldReader(value, reader.pathOf('acs'));
  const acs = { cap: registers.whole('cap', MAX_16_BITS), ctrl: registers.whole('ctrl', MAX_16_BITS) };
  if (acs.ctrl > ACS_ALL_BITS) registers.fail('ctrl', `bits within 0x${ACS_ALL_BITS.toString(16)}`);
  registers.end();
  return acs;
}

function readAcsControlIfAny(reader: FieldReader): number {
  const control = reader.whole('acsControlIfAny', ACS_ALL_BITS);
  if (reader.raw('acs') !== 'unknown') reader.fail('acsControlIfAny', 'nothing, for acs is known');
  return control;
}

function readSriov(value: unknown, path: string): SriovDescription {
  const reader = new FieldReader(value, path);
  const sriov: SriovDescription = {
    totalVfs: reader.whole('totalVfs', MAX_16_BITS),
    numVfs: reader.whole('numVfs', MAX_16_BITS),
    vfOffset: reader.whole('vfOffset', MAX_16_BITS),
    vfStride: reader.whole('vfStride', MAX_16_BITS),
    vfDevice: reader.wholeOrNull('vfDevice', MAX_16_BITS),
    ...(reader.has('bars') ? { bars: reader.each('bars', readBar) } : {}),
  };
  if (sriov.numVfs > sriov.totalVfs) reader.fail('numVfs', `at most totalVfs (${sriov.totalVfs})`);
  reader.end();
  return sriov;
}
