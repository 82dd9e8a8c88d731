import type { HostWindowDescription } from '../description/machine-description.ts';
import type { BootLog } from '../listing/boot-log.ts';
import type { IoMemory } from '../listing/iomem.ts';
import type { ReadingNotes } from './reading-notes.ts';

/** Windows of host bridges (`0000:40`) as the boot log tells them, else /proc/iomem. */
export function hostWindowsOf(
  log: Pick<BootLog, 'rootWindows'>,
  memory: IoMemory,
  notes: ReadingNotes,
): Readonly<Record<string, readonly HostWindowDescription[]>> {
  if (memory.hiddenAt !== null) {
    notes.warn('/proc/iomem shows no addresses; read as root it does', memory.hiddenAt);
  }
  const buses = new Set([...memory.busRanges.keys(), ...log.rootWindows.keys()]);
  return Object.fromEntries(
    [...buses].map((bus) => [bus, joined(log.rootWindows.get(bus) ?? memory.busRanges.get(bus) ?? [])]),
  );
}

/** Ranges in ascending order; of those that overlap with the same offset, one around both. */
function joined(ranges: readonly HostWindowDescription[]): readonly HostWindowDescription[] {
  const result: HostWindowDescription[] = [];
  for (const range of ranges.toSorted((a, b) => a.start - b.start)) {
    const last = result.at(-1);
    if (last === undefined || range.start > last.end) result.push(range);
    else result[result.length - 1] = { ...last, end: Math.max(last.end, range.end) };
  }
  return result;
}
