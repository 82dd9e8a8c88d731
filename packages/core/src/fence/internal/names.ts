import { atomicLoad } from '@dmabuf-emu/shm';
import { CORE_QUIRKS } from '../../quirks.ts';
import { CAP_KNOWN, OPS_MASK, SIGNALED, STATE } from './layout.ts';
import type { FenceTable } from './table.ts';

const DETACHED_DRIVER = 'detached-driver';
const SIGNALED_TIMELINE = 'signaled-timeline';

/** Whether the driver may still be asked for names: the flag alone decides, even when the driver keeps its operations. */
function isNamed(t: FenceTable, p: number): boolean {
  if ((t.caps(p) & CAP_KNOWN) === 0) return false;
  return (atomicLoad(t.mem, p + STATE) & SIGNALED) === 0 || CORE_QUIRKS.has(t.machine, 'fence.namesStay');
}

/** @kernel dma_fence_driver_name */
export function driverName(t: FenceTable, ref: number, p: number): string {
  return isNamed(t, p) ? t.driver(p).getDriverName(t.fence(ref)) : DETACHED_DRIVER;
}

/** @kernel dma_fence_timeline_name */
export function timelineName(t: FenceTable, ref: number, p: number): string {
  if (!isNamed(t, p)) return SIGNALED_TIMELINE;
  const driver = t.driver(p);
  if (CORE_QUIRKS.has(t.machine, 'fence.timelineNameBug')) return driver.getDriverName(t.fence(ref));
  return driver.getTimelineName(t.fence(ref));
}

/** `driver:timeline` for a report; does without the driver's code where this thread has none. */
export function namesForReport(t: FenceTable, ref: number, p: number): string {
  const id = t.mem.i32[p]! & OPS_MASK;
  const { drivers } = t.machine;
  if (!drivers.has('fence', id)) return `${drivers.name('fence', id)}:?`;
  return `${driverName(t, ref, p)}:${timelineName(t, ref, p)}`;
}

/** Name that the driver of a fence, signalled or not, is registered under; undefined once the fence is gone. */
export function driverForReport(t: FenceTable, ref: number): string | undefined {
  const p = t.slab.tryAt(ref);
  return p === 0 ? undefined : t.machine.drivers.name('fence', t.mem.i32[p]! & OPS_MASK);
}
