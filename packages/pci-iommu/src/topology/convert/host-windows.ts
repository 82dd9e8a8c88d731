import { isDecodedMemory } from '../description/check-bars.ts';
import type { FunctionDescription, HostWindowDescription } from '../description/machine-description.ts';

/**
 * The smallest windows that cover everything mapped below a host bridge: the memory windows of the bridges on its root
 * bus and all memory BARs. A listing does not show the real, larger windows.
 */
export function coveringWindows(
  functions: readonly FunctionDescription[],
  isOnRootBus: (fn: FunctionDescription) => boolean,
): readonly HostWindowDescription[] {
  const ranges = functions.flatMap((fn) => [
    ...fn.bars
      .filter((bar) => isDecodedMemory(bar))
      .map((bar) => ({ start: bar.start, end: bar.start + bar.size - 1 })),
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
