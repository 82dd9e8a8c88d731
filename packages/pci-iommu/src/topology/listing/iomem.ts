import { type Bdf, formatBdf, tryParseBdf } from '../bdf.ts';
import type { HostWindowDescription } from '../description/machine-description.ts';
import type { LogicalLine } from '../lspci/logical-lines.ts';

/** What /proc/iomem tells of PCI. */
export interface IoMemory {
  /** Ranges by bus (`0000:40`): windows of host bridges on root buses, of bridges elsewhere. */
  readonly busRanges: ReadonlyMap<string, readonly HostWindowDescription[]>;
  /** Sizes by function and address. */
  readonly sizes: ReadonlyMap<Bdf, ReadonlyMap<number, number>>;
  /** Line of a range that reads zero, as the kernel shows all of them without privileges; `null` when there is none. */
  readonly hiddenAt: number | null;
}

const RANGE_PATTERN =
  /^([0-9a-f]{8,16})-([0-9a-f]{8,16}) : (?:PCI Bus ([0-9a-f]{4,8}:[0-9a-f]{2})|([0-9a-f:.]{12,17}))$/iu;

/** Reads the lines of /proc/iomem that name buses and functions; all other lines are left alone. */
export function readIoMemory(lines: readonly LogicalLine[]): IoMemory {
  const busRanges = new Map<string, HostWindowDescription[]>();
  const sizes = new Map<Bdf, Map<number, number>>();
  let hiddenAt: number | null = null;
  for (const line of lines) {
    const match = line.kind === 'other' || line.kind === 'attribute' ? RANGE_PATTERN.exec(line.text) : null;
    if (match === null) continue;
    const [start, end] = [Number.parseInt(match[1] ?? '', 16), Number.parseInt(match[2] ?? '', 16)];
    if (end === 0) hiddenAt ??= line.line;
    if (end === 0 || end < start || !Number.isSafeInteger(end)) continue;
    const bus = match[3]?.toLowerCase();
    if (bus === undefined) addSize(sizes, match[4] ?? '', start, end - start + 1);
    else addRange(busRanges, bus, { start, end, busOffset: 0 });
  }
  return { busRanges, sizes, hiddenAt };
}

function addRange(map: Map<string, HostWindowDescription[]>, bus: string, range: HostWindowDescription): void {
  const ranges = map.get(bus);
  if (ranges === undefined) map.set(bus, [range]);
  else ranges.push(range);
}

/** The first range at an address is the BAR; the next one there is what its driver uses. */
function addSize(sizes: Map<Bdf, Map<number, number>>, name: string, start: number, size: number): void {
  const parts = tryParseBdf(name);
  if (parts === undefined) return;
  const bdf = formatBdf(parts);
  const known = sizes.get(bdf) ?? new Map<number, number>();
  if (!known.has(start)) known.set(start, size);
  sizes.set(bdf, known);
}
