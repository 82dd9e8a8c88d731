import { className, deviceName, progIfName, vendorName } from '../pci-ids/device-names.ts';
import type { FunctionView } from './function-view.ts';
import { hexDigits } from './words.ts';

const REVISION = 0x08;

/** The first line of a device, as `lspci -nnD` prints it: class, names, ids, revision, programming interface. */
export function headerLineText(view: FunctionView): string {
  const { fn } = view;
  return `${fn.bdf} ${classText(fn.classCode)}: ${idsText(fn.vendor, fn.device)}${revisionText(view)}`;
}

function classText(classCode: number | null): string {
  if (classCode === null) return 'Unknown class';
  const short = hexDigits(classCode >>> 8, 4);
  return `${className(classCode) ?? 'Class'} [${short}]`;
}

/** Ids stand in brackets behind the names; where one is not known, the names alone tell the other. */
function idsText(vendor: number | null, device: number | null): string {
  if (vendor === null) return 'Unknown device';
  const maker = vendorName(vendor);
  if (device === null) return `${maker ?? 'Unknown vendor'} Unknown device`;
  const name = maker === undefined ? 'Device' : `${maker} ${deviceName(vendor, device) ?? 'Device'}`;
  return `${name} [${hexDigits(vendor, 4)}:${hexDigits(device, 4)}]`;
}

function revisionText(view: FunctionView): string {
  if (!view.answers) return ' (rev ff) (prog-if ff)';
  const { classCode } = view.fn;
  const revision = view.read(REVISION, 1);
  const name = progIfName(classCode);
  const progIf = classCode === null ? 0 : classCode & 0xff;
  const isShown = classCode !== null && (progIf !== 0 || name !== undefined);
  return [
    revision === 0 ? '' : ` (rev ${hexDigits(revision, 2)})`,
    isShown ? ` (prog-if ${hexDigits(progIf, 2)}${name === undefined ? '' : ` [${name}]`})` : '',
  ].join('');
}
