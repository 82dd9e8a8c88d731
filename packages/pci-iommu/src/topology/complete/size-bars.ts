import { isDecodedMemory } from '../description/check-bars.ts';
import type { BarDescription } from '../description/machine-description.ts';
import type { TopologyFunction } from '../tree/topology-function.ts';
import type { Topology } from '../tree/topology.ts';
import { AddressSpace } from './address-space.ts';
import { assumedBars, windowKindOf } from './assumed-bars.ts';

const DEFAULT_SIZE = 2 ** 16;
const LEAST_MEMORY = 16;
const LEAST_IO = 4;
const MOST_IO = 2 ** 8;

/**
 * Sizes for BARs of which only the address is known: that of the function's class, but no more than the address is aligned to,
 * and than there is room up to the next known address. Those without room for the smallest are left out.
 *
 * @returns all BARs of each function that has such a one
 */
export function sizeBars(topology: Topology): ReadonlyMap<TopologyFunction, readonly BarDescription[]> {
  const bars = new Map<TopologyFunction, readonly BarDescription[]>();
  for (const fn of topology.functions) {
    if (!fn.bars.some((bar) => isSizeless(bar))) continue;
    const known = addressesAround(topology, fn);
    bars.set(
      fn,
      fn.bars.flatMap((bar) => (isSizeless(bar) ? sized(fn, bar, known) : [bar])),
    );
  }
  return bars;
}

function isSizeless(bar: BarDescription): boolean {
  return bar.flags?.includes('size-unknown') === true;
}

function sized(fn: TopologyFunction, bar: BarDescription, known: AddressSpace): readonly BarDescription[] {
  const flags = (bar.flags ?? []).filter((flag) => flag !== 'size-unknown');
  const isPlaced = !flags.includes('unassigned') && !flags.includes('ignored');
  const room = isPlaced && bar.kind !== 'io' ? known.nextAbove(bar.start) - bar.start : Infinity;
  const aligned = bar.start === 0 ? Infinity : alignmentOf(bar.start);
  const size = powerOfTwoUpTo(Math.min(usualSize(fn, bar), aligned, room));
  if (size < (bar.kind === 'io' ? LEAST_IO : LEAST_MEMORY)) return [];
  const { flags: _flags, ...shape } = bar;
  return [{ ...shape, size, ...(flags.length > 0 ? { flags } : {}) }];
}

function usualSize(fn: TopologyFunction, bar: BarDescription): number {
  if (bar.kind === 'io') return MOST_IO;
  const alike = assumedBars(fn).find((shape) => windowKindOf(shape) === windowKindOf(bar));
  return alike?.size ?? DEFAULT_SIZE;
}

/** Where something else begins: BARs, also those without size, windows of bridges, and what is behind the windows above. */
function addressesAround(topology: Topology, fn: TopologyFunction): AddressSpace {
  const way = topology.pathToRoot(fn);
  const starts = topology.functions.flatMap((other) => [
    ...other.bars.filter((bar) => isDecodedMemory(bar) || isSizeless(bar)).map((bar) => bar.start),
    ...other.windows
      .filter((window) => window.kind !== 'io')
      .map((window) => (way.includes(other) ? window.end + 1 : window.start)),
  ]);
  const hosts = topology.hostBridges.flatMap((bridge) =>
    bridge.windows.map((window) => (bridge === fn.hostBridge ? window.end + 1 : window.start)),
  );
  const outer = fn.hostBridge.windows.map((window) => window.start);
  return new AddressSpace([...starts, ...hosts, ...outer].map((start) => ({ start, end: start })));
}

/** The largest power of two that divides an address. */
function alignmentOf(address: number): number {
  let alignment = 1;
  while (address % (alignment * 2) === 0) alignment *= 2;
  return alignment;
}

function powerOfTwoUpTo(limit: number): number {
  return limit < 1 ? 0 : 2 ** Math.floor(Math.log2(limit));
}
