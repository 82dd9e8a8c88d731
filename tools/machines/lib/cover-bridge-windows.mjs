const MEGABYTE = 0x10_0000;
const FOUR_GIB = 0x1_0000_0000;

/**
 * Gives windows to bridges whose listing shows none: the smallest ranges of whole megabytes that cover the memory BARs
 * behind them, 32-bit non-prefetchable ones and the others apart, as firmware does.
 */
export function coverBridgeWindows(machine) {
  const functions = machine.functions.map((fn) => {
    if (fn.secondary === undefined || fn.windows !== undefined) return fn;
    const below = machine.functions.filter((other) => isBelow(other.bdf, fn));
    const bars = below.flatMap((other) => other.bars.filter((bar) => bar.kind !== 'io' && bar.start > 0));
    const windows = [
      ...cover(
        'mem',
        bars.filter((bar) => !isPrefetch(bar)),
      ),
      ...cover(
        'prefetch',
        bars.filter((bar) => isPrefetch(bar)),
      ),
    ];
    return windows.length === 0 ? fn : { ...fn, windows };
  });
  return { ...machine, functions };
}

/** Widens host bridge windows so that they hold the windows of the bridges on the root bus. */
export function coverHostWindows(machine) {
  const hostBridges = machine.hostBridges.map((bridge) => {
    const root = machine.functions.filter((fn) => fn.bdf.startsWith(rootName(bridge)));
    const ranges = [...bridge.windows, ...root.flatMap((fn) => (fn.windows ?? []).filter(({ kind }) => kind !== 'io'))];
    return { ...bridge, windows: merge(ranges) };
  });
  return { ...machine, hostBridges };
}

function rootName({ domain, bus }) {
  return `${domain.toString(16).padStart(4, '0')}:${bus.toString(16).padStart(2, '0')}:`;
}

function merge(ranges) {
  const merged = [];
  for (const { start, end } of ranges.toSorted((a, b) => a.start - b.start)) {
    const last = merged.at(-1);
    if (last !== undefined && start <= last.end + 1) last.end = Math.max(last.end, end);
    else merged.push({ start, end, busOffset: 0 });
  }
  return merged;
}

function isPrefetch(bar) {
  return bar.prefetchable || bar.start >= FOUR_GIB;
}

function cover(kind, bars) {
  if (bars.length === 0) return [];
  const start = Math.floor(Math.min(...bars.map((bar) => bar.start)) / MEGABYTE) * MEGABYTE;
  const end = Math.ceil(Math.max(...bars.map((bar) => bar.start + bar.size)) / MEGABYTE) * MEGABYTE - 1;
  return [{ kind, start, end }];
}

function isBelow(bdf, bridge) {
  const bus = Number.parseInt(bdf.slice(-7, -5), 16);
  const sameDomain = bdf.slice(0, -8) === bridge.bdf.slice(0, -8);
  return sameDomain && bus >= bridge.secondary && bus <= bridge.subordinate;
}
