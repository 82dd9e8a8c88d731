import { formatBus } from '../bdf.ts';
import { isDecodedMemory } from '../description/check-bars.ts';
import type {
  FunctionDescription,
  HostBridgeDescription,
  HostWindowDescription,
} from '../description/machine-description.ts';
import type { RawFunction } from '../lspci/raw-function.ts';
import type { ReadingNotes } from '../read/reading-notes.ts';
import { hex } from '../topology-error.ts';

/** A BAR whose register holds another address than the CPU uses. */
export interface OffsetEvidence {
  readonly physical: number;
  /** Bus address minus physical address. */
  readonly busOffset: number;
}

/**
 * The smallest windows that cover everything mapped below a host bridge: the memory windows of the bridges on its root
 * bus and all memory BARs. A listing does not show the real, larger windows.
 */
export function coveringWindows(
  functions: readonly FunctionDescription[],
  isOnRootBus: (fn: FunctionDescription) => boolean,
): readonly HostWindowDescription[] {
  const ranges = functions.flatMap((fn) => [
    ...decodedRanges(fn),
    ...(isOnRootBus(fn) ? (fn.windows ?? []).filter((window) => window.kind !== 'io') : []),
  ]);
  const merged: { start: number; end: number }[] = [];
  for (const range of ranges.toSorted((a, b) => a.start - b.start)) {
    const last = merged.at(-1);
    if (last !== undefined && range.start <= last.end + 1) last.end = Math.max(last.end, range.end);
    else merged.push({ start: range.start, end: range.end });
  }
  return merged.map((range) => ({ ...range, busOffset: 0 }));
}

/** Windows that a source tells, and covering ones for what is mapped outside of them. */
export function withStrays(
  told: readonly HostWindowDescription[],
  functions: readonly FunctionDescription[],
  notes: ReadingNotes,
): readonly HostWindowDescription[] {
  const outside = functions.flatMap((fn) =>
    decodedRanges(fn).filter(({ start, end }) => !told.some((window) => start >= window.start && end <= window.end)),
  );
  const strays = outside.filter(({ start, end }) => {
    const crosses = told.some((window) => start <= window.end && end >= window.start);
    if (crosses) notes.warn(`${hex(start)}..${hex(end)} crosses the end of a host bridge window`);
    return !crosses;
  });
  if (strays.length < outside.length) return coveringWindows(functions, () => false);
  const added = strays.toSorted((a, b) => a.start - b.start).map((range) => ({ ...range, busOffset: 0 }));
  return [...told, ...added].toSorted((a, b) => a.start - b.start);
}

/** BARs of a function whose config bytes and words both tell an address. */
export function offsetEvidence(fn: RawFunction): readonly OffsetEvidence[] {
  return fn.bars.flatMap((bar) => {
    if (bar.address === null || bar.kind === 'io' || bar.flags.some((flag) => flag !== 'disabled')) return [];
    const register = fn.barRegisters?.find((candidate) => candidate.index === bar.index);
    if (register === undefined || register.address === null || register.address === 0) return [];
    return [{ physical: bar.address, busOffset: register.address - bar.address }];
  });
}

/** Windows with the offset that all BARs inside agree on. */
export function withOffsets(
  windows: readonly HostWindowDescription[],
  evidence: readonly OffsetEvidence[],
  notes: ReadingNotes,
): readonly HostWindowDescription[] {
  if (evidence.every(({ busOffset }) => busOffset === 0)) return windows;
  return windows.map((window) => {
    const inside = evidence.filter(({ physical }) => physical >= window.start && physical <= window.end);
    const offsets = new Set(inside.map(({ busOffset }) => busOffset));
    const [busOffset] = offsets;
    if (busOffset === undefined || busOffset === 0) return window;
    const range = `${hex(window.start)}..${hex(window.end)}`;
    if (offsets.size > 1 || window.start + busOffset < 0) {
      notes.warn(`BAR registers below ${range} do not differ from the physical addresses by one offset; 0 is taken`);
      return window;
    }
    return { ...window, busOffset };
  });
}

/** Drops the windows of a host bridge that overlap those of another. */
export function withoutSharedWindows(
  bridges: readonly HostBridgeDescription[],
  notes: ReadingNotes,
): readonly HostBridgeDescription[] {
  const owned = bridges.flatMap((bridge) => bridge.windows.map((window) => ({ bridge, window })));
  const dropped = new Set<HostBridgeDescription>();
  let last: (typeof owned)[number] | null = null;
  for (const entry of owned.toSorted((a, b) => a.window.start - b.window.start)) {
    if (dropped.has(entry.bridge)) continue;
    if (last !== null && entry.window.start <= last.window.end && entry.bridge !== last.bridge) {
      const [name, other] = [entry.bridge, last.bridge].map(({ domain, bus }) => formatBus(domain, bus));
      notes.warn(`windows of host bridge ${name} left out: they overlap those of ${other}`);
      dropped.add(entry.bridge);
      continue;
    }
    if (last === null || entry.window.end > last.window.end) last = entry;
  }
  return bridges.map((bridge) => (dropped.has(bridge) ? { ...bridge, windows: [] } : bridge));
}

function decodedRanges(fn: FunctionDescription): readonly { start: number; end: number }[] {
  return fn.bars
    .filter((bar) => isDecodedMemory(bar))
    .map((bar) => ({ start: bar.start, end: bar.start + bar.size - 1 }));
}
