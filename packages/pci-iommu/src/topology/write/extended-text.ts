import { ACS_FLAG_NAMES } from '../acs.ts';
import type { CapabilityText } from './conventional-text.ts';
import type { FunctionView } from './function-view.ts';
import { flag, flags, hexDigits, linesAt } from './words.ts';

const Id = {
  Errors: 0x01,
  Vendor: 0x0b,
  Acs: 0x0d,
  Ats: 0x0f,
  Sriov: 0x10,
  Pri: 0x13,
  ResizableBar: 0x15,
  Pasid: 0x1b,
} as const;
const NAMES: ReadonlyMap<number, string> = new Map([
  [0x02, 'Virtual Channel'],
  [0x03, 'Device Serial Number'],
  [0x04, 'Power Budgeting <?>'],
  [0x05, 'Root Complex Link'],
  [0x08, 'Multi-Function Virtual Channel <?>'],
  [0x09, 'Virtual Channel'],
  [0x0e, 'Alternative Routing-ID Interpretation (ARI)'],
  [0x12, 'Multicast'],
  [0x17, 'Transaction Processing Hints'],
  [0x18, 'Latency Tolerance Reporting'],
  [0x19, 'Secondary PCI Express'],
  [0x1d, 'Downstream Port Containment'],
  [0x1e, 'L1 PM Substates'],
  [0x1f, 'Precision Time Measurement'],
  [0x23, 'Designated Vendor-Specific'],
  [0x25, 'Data Link Feature <?>'],
  [0x26, 'Physical Layer 16.0 GT/s <?>'],
  [0x27, 'Lane Margining at the Receiver <?>'],
  [0x2a, 'Physical Layer 32.0 GT/s <?>'],
]);

/** Uncorrectable errors by bit; bits without a name are reserved. */
const UNCORRECTABLE = [
  '',
  '',
  '',
  '',
  'DLP',
  'SDES',
  '',
  '',
  '',
  '',
  '',
  '',
  'TLP',
  'FCP',
  'CmpltTO',
  'CmpltAbrt',
  'UnxCmplt',
  'RxOF',
  'MalfTLP',
  'ECRC',
  'UnsupReq',
  'ACSViol',
] as const;
const CORRECTABLE = [
  'RxErr',
  '',
  '',
  '',
  '',
  '',
  'BadTLP',
  'BadDLLP',
  'Rollover',
  '',
  '',
  '',
  'Timeout',
  'AdvNonFatalErr',
] as const;

/** A capability from offset 100 up. */
export function extendedText(view: FunctionView, id: number, at: number): CapabilityText {
  switch (id) {
    case Id.Errors:
      return errorsText(view, at);
    case Id.Acs:
      return acsText(view.read(at + 4, 2), view.read(at + 6, 2));
    case Id.Ats:
      return atsText(view, at);
    case Id.Sriov:
      return sriovText(view, at);
    case Id.Pri:
      return priText(view, at);
    case Id.ResizableBar:
      return resizableText(view, at);
    case Id.Pasid:
      return pasidText(view, at);
    case Id.Vendor: {
      const header = view.read(at + 4, 4);
      const length = hexDigits(header >>> 20, 3);
      const revision = (header >>> 16) & 0xf;
      const name = `Vendor Specific Information: ID=${hexDigits(header & 0xffff, 4)} Rev=${revision} Len=${length} <?>`;
      return { name, lines: [] };
    }
    default:
      return { name: NAMES.get(id) ?? `#${hexDigits(id, 2)} <?>`, lines: [] };
  }
}

/** Access control: what a function can do, and what is switched on. */
export function acsText(cap: number, ctrl: number): CapabilityText {
  return {
    name: 'Access Control Services',
    lines: linesAt(2, `ACSCap:\t${flags(cap, ACS_FLAG_NAMES)}`, acsControlText(ctrl)),
  };
}

export function acsControlText(ctrl: number): string {
  return `ACSCtl:\t${flags(ctrl, ACS_FLAG_NAMES)}`;
}

function errorsText(view: FunctionView, at: number): CapabilityText {
  const words = [0x1c, 0x20, 0x24, 0x28].map((offset) => hexDigits(view.read(at + offset, 4), 8));
  return {
    name: 'Advanced Error Reporting',
    lines: linesAt(
      2,
      `UESta:\t${flags(view.read(at + 4, 4), UNCORRECTABLE)}`,
      `UEMsk:\t${flags(view.read(at + 8, 4), UNCORRECTABLE)}`,
      `UESvrt:\t${flags(view.read(at + 12, 4), UNCORRECTABLE)}`,
      `CESta:\t${flags(view.read(at + 16, 4), CORRECTABLE)}`,
      `CEMsk:\t${flags(view.read(at + 20, 4), CORRECTABLE)}`,
      `HeaderLog: ${words.join(' ')}`,
    ),
  };
}

function atsText(view: FunctionView, at: number): CapabilityText {
  const control = view.read(at + 6, 2);
  return {
    name: 'Address Translation Service (ATS)',
    lines: linesAt(
      2,
      `ATSCap:\tInvalidate Queue Depth: ${hexDigits(view.read(at + 4, 2) & 0x1f, 2)}`,
      `ATSCtl:\t${flag('Enable', (control & 0x8000) !== 0)}, Smallest Translation Unit: ${hexDigits(control & 0x1f, 2)}`,
    ),
  };
}

function sriovText(view: FunctionView, at: number): CapabilityText {
  const control = view.read(at + 8, 2);
  const total = view.read(at + 14, 2);
  const counts = `Initial VFs: ${view.read(at + 12, 2)}, Total VFs: ${total}, Number of VFs: ${view.read(at + 16, 2)}`;
  const ids = `stride: ${view.read(at + 22, 2)}, Device ID: ${hexDigits(view.read(at + 26, 2), 4)}`;
  return {
    name: 'Single Root I/O Virtualization (SR-IOV)',
    lines: linesAt(
      2,
      'IOVCap:\tMigration-, Interrupt Message Number: 000',
      `IOVCtl:\t${flags(control, ['Enable', 'Migration', 'Interrupt', 'MSE', 'ARIHierarchy'])}`,
      `${counts}, Function Dependency Link: ${hexDigits(view.read(at + 18, 1), 2)}`,
      `VF offset: ${view.read(at + 20, 2)}, ${ids}`,
      `Supported Page Size: ${hexDigits(view.read(at + 28, 4), 8)}, System Page Size: ${hexDigits(view.read(at + 32, 4), 8)}`,
    ),
  };
}

function priText(view: FunctionView, at: number): CapabilityText {
  const capacity = hexDigits(view.read(at + 8, 4), 8);
  const allocation = hexDigits(view.read(at + 12, 4), 8);
  return {
    name: 'Page Request Interface (PRI)',
    lines: linesAt(
      2,
      `PRICtl: ${flags(view.read(at + 4, 2), ['Enable', 'Reset'])}`,
      `PRISta: ${flags(view.read(at + 6, 2), ['RF', 'UPRGI'])} ${flag('Stopped', (view.read(at + 6, 2) & 0x100) !== 0)}`,
      `Page Request Capacity: ${capacity}, Page Request Allocation: ${allocation}`,
    ),
  };
}

function resizableText(view: FunctionView, at: number): CapabilityText {
  const count = (view.read(at + 8, 4) >>> 5) & 7;
  const lines = Array.from({ length: Math.max(1, count) }, (_, order) => {
    const control = view.read(at + 8 + 8 * order, 4);
    return `BAR ${control & 7}: current size: ${2 ** ((control >>> 8) & 0x3f)}MB`;
  });
  return { name: 'Physical Resizable BAR', lines: linesAt(2, ...lines) };
}

function pasidText(view: FunctionView, at: number): CapabilityText {
  const cap = view.read(at + 4, 2);
  return {
    name: 'Process Address Space ID (PASID)',
    lines: linesAt(
      2,
      `PASIDCap: ${flags(cap >>> 1, ['Exec', 'Priv'])}, Max PASID Width: ${hexDigits((cap >>> 8) & 0x1f, 2)}`,
      `PASIDCtl: ${flags(view.read(at + 6, 2), ['Enable', 'Exec', 'Priv'])}`,
    ),
  };
}
