import { isDecodedMemory } from '../description/check-bars.ts';
import type { BarDescription, RomDescription } from '../description/machine-description.ts';
import type { RawBar, RawFunction } from '../lspci/raw-function.ts';
import { isBridgeKind } from '../pcie-type.ts';
import type { ReadingNotes } from '../read/reading-notes.ts';
import { hex } from '../topology-error.ts';
import { kindOf } from './function-kind.ts';

const BRIDGE_BARS = 2;
const DEVICE_BARS = 6;
const CARDBUS_HEADER = 2;
const FOUR_GIB = 0x1_0000_0000;
const MIN_MEMORY_BYTES = 16;
const MIN_IO_BYTES = 4;

/** The BARs of one function; those that cannot be are left out with a warning. */
export function convertBars(fn: RawFunction, notes: ReadingNotes): readonly BarDescription[] {
  const limit = barLimit(fn);
  const bars: BarDescription[] = [];
  let next = 0;
  for (const raw of fn.bars) {
    const index = raw.index ?? next;
    const last = index + (raw.kind === 'mem64' ? 1 : 0);
    const taken = bars.some((bar) => index <= lastRegister(bar) && last >= bar.index);
    const problem =
      last >= limit ? `register ${last} does not exist` : taken ? `its register is taken already` : problemOf(raw);
    if (problem !== null) {
      notes.warn(`${fn.bdf}: BAR ${index} left out: ${problem}`, fn.line);
      continue;
    }
    next = last + 1;
    bars.push(describeBar(raw, index));
  }
  return bars;
}

/** The expansion ROM when its size is listed. */
export function convertRom(fn: RawFunction): RomDescription | null {
  if (fn.rom === null || fn.rom.size === null) return null;
  const { address, size } = fn.rom;
  return Number.isSafeInteger((address ?? 0) + size) ? { start: address ?? 0, size } : null;
}

/** Drops the later of two decoded memory BARs that claim the same address. */
export function withoutOverlaps(
  bars: ReadonlyMap<string, readonly BarDescription[]>,
  notes: ReadingNotes,
): ReadonlyMap<string, readonly BarDescription[]> {
  const claims = [...bars]
    .flatMap(([bdf, list]) => list.filter((bar) => isDecodedMemory(bar)).map((bar) => ({ bdf, bar })))
    .toSorted((a, b) => a.bar.start - b.bar.start);
  const dropped = new Set<BarDescription>();
  let end = -1;
  let holder = '';
  for (const { bdf, bar } of claims) {
    if (bar.start <= end) {
      dropped.add(bar);
      notes.warn(`${bdf}: BAR ${bar.index} at ${hex(bar.start)} left out: overlaps a BAR of ${holder}`);
      continue;
    }
    end = bar.start + bar.size - 1;
    holder = bdf;
  }
  return new Map([...bars].map(([bdf, list]) => [bdf, list.filter((bar) => !dropped.has(bar))]));
}

function lastRegister(bar: BarDescription): number {
  return bar.index + (bar.kind === 'mem64' ? 1 : 0);
}

function barLimit(fn: RawFunction): number {
  if (fn.headerType === CARDBUS_HEADER) return 1;
  return isBridgeKind(kindOf(fn)) ? BRIDGE_BARS : DEVICE_BARS;
}

function problemOf(raw: RawBar): string | null {
  if (raw.size === null) return null;
  const smallest = raw.kind === 'io' ? MIN_IO_BYTES : MIN_MEMORY_BYTES;
  if (raw.size < smallest || !Number.isInteger(Math.log2(raw.size))) {
    return `its size ${hex(raw.size)} is no power of two from ${smallest} up`;
  }
  const start = raw.address ?? 0;
  if (start % raw.size !== 0) return `its address ${hex(start)} is no multiple of its size ${hex(raw.size)}`;
  const end = start + raw.size;
  if (!Number.isSafeInteger(end) || (raw.kind === 'io' && end > FOUR_GIB)) return `it ends at ${hex(end)}`;
  return null;
}

function describeBar(raw: RawBar, index: number): BarDescription {
  const flags = [...raw.flags];
  if (raw.address === null && !flags.includes('ignored') && !flags.includes('unassigned')) flags.push('unassigned');
  if (raw.index === null) flags.push('index-assumed');
  if (raw.size === null) flags.push('size-unknown');
  return {
    index,
    start: raw.address ?? 0,
    size: raw.size ?? 0,
    kind: raw.kind,
    prefetchable: raw.kind !== 'io' && raw.prefetchable,
    ...(flags.length > 0 ? { flags } : {}),
  };
}
