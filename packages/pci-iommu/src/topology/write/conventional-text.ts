import { expressLines, expressName } from './express-text.ts';
import type { FunctionView } from './function-view.ts';
import { flag, flags, hexDigits, linesAt, type TextLine } from './words.ts';

/** A capability as listed: what stands behind its offset, and the lines below. */
export interface CapabilityText {
  readonly name: string;
  readonly lines: readonly TextLine[];
}

const Id = { Power: 0x01, Msi: 0x05, Vendor: 0x09, Express: 0x10, MsiX: 0x11, AdvancedFeatures: 0x13 } as const;
const NAMES: ReadonlyMap<number, string> = new Map([
  [0x02, 'AGP'],
  [0x03, 'Vital Product Data'],
  [0x04, 'Slot ID'],
  [0x06, 'CompactPCI hot-swap'],
  [0x07, 'PCI-X'],
  [0x08, 'HyperTransport'],
  [0x0a, 'Debug port'],
  [0x0f, 'Secure device <?>'],
  [0x0d, 'Subsystem'],
  [0x12, 'SATA HBA'],
  [0x14, 'Enhanced Allocation (EA)'],
]);

/** A capability of the first 256 bytes. */
export function conventionalText(view: FunctionView, id: number, at: number): CapabilityText {
  switch (id) {
    case Id.Power:
      return powerText(view, at);
    case Id.Msi:
      return msiText(view, at);
    case Id.Vendor:
      return { name: `Vendor Specific Information: Len=${hexDigits(view.read(at + 2, 1), 2)} <?>`, lines: [] };
    case Id.Express:
      return { name: expressName(view, at), lines: expressLines(view, at) };
    case Id.MsiX:
      return msixText(view, at);
    case Id.AdvancedFeatures:
      return advancedFeaturesText(view, at);
    default:
      return { name: NAMES.get(id) ?? `#${hexDigits(id, 2)} <?>`, lines: [] };
  }
}

function powerText(view: FunctionView, at: number): CapabilityText {
  const cap = view.read(at + 2, 2);
  const control = view.read(at + 4, 2);
  const bit = (value: number, mask: number): boolean => (value & mask) !== 0;
  const wake = flags(cap >>> 11, ['D0', 'D1', 'D2', 'D3hot', 'D3cold']).replaceAll(' ', ',');
  const states = [flag('PMEClk', bit(cap, 0x8)), flag('DSI', bit(cap, 0x20)), flag('D1', bit(cap, 0x200))];
  return {
    name: `Power Management version ${cap & 7}`,
    lines: linesAt(
      2,
      `Flags: ${states.join(' ')} ${flag('D2', bit(cap, 0x400))} AuxCurrent=0mA PME(${wake})`,
      `Status: D${control & 3} ${flag('NoSoftRst', bit(control, 0x8))} ${flag('PME-Enable', bit(control, 0x100))} ` +
        `DSel=${(control >>> 9) & 0xf} DScale=${(control >>> 13) & 3} ${flag('PME', bit(control, 0x8000))}`,
    ),
  };
}

function msiText(view: FunctionView, at: number): CapabilityText {
  const control = view.read(at + 2, 2);
  const isWide = (control & 0x80) !== 0;
  const isMaskable = (control & 0x100) !== 0;
  const counts = `Count=${1 << ((control >>> 4) & 7)}/${1 << ((control >>> 1) & 7)}`;
  const upper = isWide ? hexDigits(view.read(at + 8, 4), 8) : '';
  const data = view.read(at + (isWide ? 12 : 8), 2);
  const masks = at + (isWide ? 16 : 12);
  const lines = [`Address: ${upper}${hexDigits(view.read(at + 4, 4), 8)}  Data: ${hexDigits(data, 4)}`];
  if (isMaskable) {
    lines.push(`Masking: ${hexDigits(view.read(masks, 4), 8)}  Pending: ${hexDigits(view.read(masks + 4, 4), 8)}`);
  }
  const marks = `${flag('Maskable', isMaskable)} ${flag('64bit', isWide)}`;
  return { name: `MSI: ${flag('Enable', (control & 1) !== 0)} ${counts} ${marks}`, lines: linesAt(2, ...lines) };
}

function msixText(view: FunctionView, at: number): CapabilityText {
  const control = view.read(at + 2, 2);
  const place = (register: number): string => `BAR=${register & 7} offset=${hexDigits(register - (register & 7), 8)}`;
  const marks = `Count=${(control & 0x7ff) + 1} ${flag('Masked', (control & 0x4000) !== 0)}`;
  return {
    name: `MSI-X: ${flag('Enable', (control & 0x8000) !== 0)} ${marks}`,
    lines: linesAt(2, `Vector table: ${place(view.read(at + 4, 4))}`, `PBA: ${place(view.read(at + 8, 4))}`),
  };
}

function advancedFeaturesText(view: FunctionView, at: number): CapabilityText {
  const lines = [
    `AFCap: ${flags(view.read(at + 3, 1), ['TP', 'FLR'])}`,
    `AFCtrl: ${flags(view.read(at + 4, 1), ['FLR'])}`,
    `AFStatus: ${flags(view.read(at + 5, 1), ['TP'])}`,
  ];
  return { name: 'PCI Advanced Features', lines: linesAt(2, ...lines) };
}
