// How many cores somebody else used while a case ran. Linux only: elsewhere the load is unknown (null).
import { readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100;

/** Busy ticks of the machine (steal included) and of this process with its finished children. */
export function sampleLoad() {
  try {
    const cpu = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0].trim().split(/\s+/).slice(1).map(Number);
    const [user, nice, system, , , irq, softirq, steal] = cpu;
    const stat = readFileSync('/proc/self/stat', 'utf8');
    const fields = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    const own = fields[11] + fields[12] + fields[13] + fields[14];
    return { busy: user + nice + system + irq + softirq + steal, own, atMs: performance.now() };
  } catch {
    return null;
  }
}

/** Cores used by others between two samples, or null when unknown. */
export function foreignCores(before, after) {
  if (before === null || after === null) return null;
  const ticks = Math.max(1, ((after.atMs - before.atMs) / 1e3) * TICKS_PER_SECOND);
  return Math.max(0, (after.busy - before.busy - (after.own - before.own)) / ticks);
}
