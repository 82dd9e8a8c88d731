import { KernelError } from '@dmabuf-emu/shm';
import type { Topology } from '../topology/index.ts';
import { barRangeOf, type BarRange, type MemoryRegion, type RegionKind } from './memory-region.ts';
import { LARGE_PAGES, MAX_FRAMES, PAGE_SIZE, pageDown, pageUp } from './page.ts';

/** A range of whole pages before it has frame numbers. */
interface Span {
  readonly kind: RegionKind;
  readonly start: number;
  end: number;
  readonly bars: BarRange[];
}

/** Holes below this are of the legacy kind: RAM goes on behind them. */
const ONE_MIB = 2 ** 20;
/** No RAM is from here up to 4 GiB. */
const INTERRUPT_CONTROLLERS = 0xfec0_0000;
/** Where RAM goes on once the hole for 32-bit MMIO is reached. */
const FOUR_GIB = 2 ** 32;

/**
 * The regions of a machine in ascending order of physical address: RAM from 0 up around every BAR and host bridge window,
 * and one region per memory BAR. A pure function of its arguments, so every thread gets the same frames.
 *
 * @param ramBytes - how much RAM the machine has; rounded up to whole pages
 * @throws KernelError ENOMEM when RAM and BARs together have more than 2^30 pages (4 TiB)
 */
export function layOutMemory(topology: Topology, ramBytes: number): readonly MemoryRegion[] {
  const bars = barSpans(topology);
  const holes = mergeSpans([
    ...bars.map(({ start, end }) => ({ start, end })),
    ...topology.memoryWindows().map(({ start, end }) => ({ start: pageDown(start), end: pageUp(end + 1) })),
  ]);
  const ram = ramSpans(holes, pageUp(ramBytes));
  return number([...bars, ...ram].toSorted((a, b) => a.start - b.start));
}

function barSpans(topology: Topology): Span[] {
  const spans: Span[] = [];
  for (const owner of topology.memoryBars) {
    const range = barRangeOf(owner);
    const [start, end] = [pageDown(range.start), pageUp(range.end)];
    const last = spans.at(-1);
    if (last !== undefined && start < last.end) {
      last.bars.push(range);
      last.end = Math.max(last.end, end);
    } else {
      spans.push({ kind: 'bar', start, end, bars: [range] });
    }
  }
  return spans;
}

interface Hole {
  readonly start: number;
  end: number;
}

function mergeSpans(holes: readonly Hole[]): readonly Hole[] {
  const merged: Hole[] = [];
  for (const { start, end } of holes.toSorted((a, b) => a.start - b.start)) {
    const last = merged.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else merged.push({ start, end });
  }
  return merged;
}

/** RAM up to the first hole above 1 MiB (around older ones below it), then from 4 GiB up around the holes. */
function ramSpans(holes: readonly Hole[], ramBytes: number): Span[] {
  const spans: Span[] = [];
  const window = holes.find((hole) => hole.end > ONE_MIB && hole.start < FOUR_GIB)?.start;
  const mmio = Math.min(window ?? INTERRUPT_CONTROLLERS, INTERRUPT_CONTROLLERS);
  let left = ramBytes;
  let at = 0;
  for (const hole of mergeSpans([
    ...holes,
    { start: mmio, end: FOUR_GIB },
    { start: Number.MAX_SAFE_INTEGER, end: Infinity },
  ])) {
    const bytes = Math.min(left, hole.start - at);
    if (bytes > 0) spans.push({ kind: 'ram', start: at, end: at + bytes, bars: [] });
    left -= Math.max(0, bytes);
    at = Math.max(at, hole.end);
  }
  return spans;
}

function number(spans: readonly Span[]): readonly MemoryRegion[] {
  let next = 0;
  const regions = spans.map((span, index): MemoryRegion => {
    const page = span.start / PAGE_SIZE;
    next += (((page - next) % LARGE_PAGES) + LARGE_PAGES) % LARGE_PAGES;
    const pages = (span.end - span.start) / PAGE_SIZE;
    const region = { index, kind: span.kind, start: span.start, end: span.end, frame: next, pages, bars: span.bars };
    next += pages;
    return region;
  });
  if (next > MAX_FRAMES) {
    throw new KernelError(
      'ENOMEM',
      'layOutMemory',
      `RAM and BARs have ${next} pages, at most ${MAX_FRAMES} can be numbered`,
    );
  }
  return regions;
}
