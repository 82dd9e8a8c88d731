import { hex } from '../topology-error.ts';
import { isDecodedMemory } from '../description/check-bars.ts';
import type { BarDescription, RomDescription } from '../description/machine-description.ts';
import type { RawBar, RawFunction } from '../lspci/raw-function.ts';

const BRIDGE_BARS = 2;
const DEVICE_BARS = 6;
const CARDBUS_HEADER = 2;

/** The BARs of one function that the listing describes fully; the others are dropped with a warning. */
export function convertBars(fn: RawFunction, warnings: string[]): readonly BarDescription[] {
  const limit = barLimit(fn);
  const bars: BarDescription[] = [];
  let next = 0;
  for (const raw of fn.bars) {
    const index = raw.index ?? next;
    next = index + (raw.kind === 'mem64' ? 2 : 1);
    const problem = problemOf(raw, index, next > limit);
    if (problem !== null) {
      warnings.push(`${fn.bdf}: BAR ${index} left out: ${problem}`);
      continue;
    }
    bars.push(describeBar(raw, index));
  }
  return bars;
}

/** The expansion ROM when its size is listed. */
export function convertRom(fn: RawFunction): RomDescription | null {
  if (fn.rom === null || fn.rom.size === null) return null;
  return { start: fn.rom.address ?? 0, size: fn.rom.size };
}

/** Drops the later of two decoded memory BARs that claim the same address. */
export function withoutOverlaps(
  bars: ReadonlyMap<string, readonly BarDescription[]>,
  warnings: string[],
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
      warnings.push(`${bdf}: BAR ${bar.index} at ${hex(bar.start)} left out: overlaps a BAR of ${holder}`);
      continue;
    }
    end = bar.start + bar.size - 1;
    holder = bdf;
  }
  return new Map([...bars].map(([bdf, list]) => [bdf, list.filter((bar) => !dropped.has(bar))]));
}

function barLimit(fn: RawFunction): number {
  if (fn.headerType === CARDBUS_HEADER) return 1;
  return fn.bus === null && fn.headerType !== 1 ? DEVICE_BARS : BRIDGE_BARS;
}

function problemOf(raw: RawBar, index: number, beyond: boolean): string | null {
  if (beyond) return `register ${index} does not exist`;
  if (raw.size === null) return 'its size is not listed';
  if (raw.size <= 0 || !Number.isInteger(Math.log2(raw.size))) return `its size ${hex(raw.size)} is no power of two`;
  if ((raw.address ?? 0) % raw.size !== 0) {
    return `its address ${hex(raw.address ?? 0)} is no multiple of its size ${hex(raw.size)}`;
  }
  return null;
}

function describeBar(raw: RawBar, index: number): BarDescription {
  const flags = [...raw.flags];
  if (raw.address === null && !flags.includes('ignored') && !flags.includes('unassigned')) flags.push('unassigned');
  if (raw.index === null) flags.push('index-assumed');
  return {
    index,
    start: raw.address ?? 0,
    size: raw.size ?? 0,
    kind: raw.kind,
    prefetchable: raw.prefetchable,
    ...(flags.length > 0 ? { flags } : {}),
  };
}
