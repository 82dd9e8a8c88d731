import { formatBus } from '../bdf.ts';
import type { MachineDescription } from '../description/machine-description.ts';
import type { RawFunction } from '../lspci/raw-function.ts';
import type { ReadingNotes } from '../read/reading-notes.ts';
import type { ConvertOptions } from './convert-options.ts';
import { offsetEvidence } from './host-windows.ts';

/** Processors on which bus addresses are physical addresses. */
const FLAT_CPUS: ReadonlySet<string> = new Set(['AMD', 'Intel', 'Hygon']);

/** Notes what a listing does not tell and a description cannot show. */
export function noteUnlisted(
  functions: readonly RawFunction[],
  description: MachineDescription,
  options: ConvertOptions,
  notes: ReadingNotes,
): void {
  functions.forEach((fn, index) => {
    const { bdf } = fn;
    if (fn.flr === null && fn.pcieType !== null) {
      notes.unknown(bdf, 'flr', 'function level reset is not told and taken as absent; lspci -vv as root shows it');
    }
    if (fn.idsByName && fn.device !== null) {
      const id = fn.device.toString(16).padStart(4, '0');
      notes.unknown(
        bdf,
        'ids',
        `device id ${id} is taken from the name, which lists may give to others; lspci -nn shows it`,
      );
    }
    if (!fn.barsShown) notes.unknown(bdf, 'bars', 'BARs are not told; lspci -v shows them');
    const described = description.functions[index];
    if (described?.kind === 'unknown-bridge' && fn.bus === null) {
      notes.unknown(bdf, 'bus-numbers', 'bus numbers of the bridge are not told; lspci -v or -t shows them');
    }
  });
  noteWindows(description, options, notes);
  const { vendor } = description.cpu;
  const measured = functions.some((fn) => offsetEvidence(fn).length > 0);
  if (!FLAT_CPUS.has(vendor) && !measured) {
    notes.unknown(null, 'bus-offset', 'whether bus addresses are physical addresses is not told; they are taken to be');
  }
}

function noteWindows(description: MachineDescription, options: ConvertOptions, notes: ReadingNotes): void {
  const guessed = description.hostBridges.filter(
    ({ domain, bus }) => (options.hostWindows?.[formatBus(domain, bus)] ?? []).length === 0,
  );
  const first = guessed[0];
  if (first === undefined) return;
  const names = guessed.length > 1 ? `${guessed.length} host bridges` : formatBus(first.domain, first.bus);
  const text = `windows of ${names} are not told; the smallest around what is mapped are taken (/proc/iomem shows them)`;
  notes.unknown(null, 'windows', text);
}
