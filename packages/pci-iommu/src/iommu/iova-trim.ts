import { isKernelError, type Machine, mutexOf, type TimerOps } from '@dmabuf-emu/shm';
import { IovaCache } from './iova-cache.ts';
import { IovaRanges } from './iova-ranges.ts';
import { IovaStruct, MAGAZINE_ORDERS } from './iova-struct.ts';

/** @kernel IOVA_DEPOT_DELAY */
const DELAY_MS = 100;

/** One timer for each size: `arg` is the space. */
const TRIM_TIMERS: readonly TimerOps[] = Array.from({ length: MAGAZINE_ORDERS }, (_, order) => ({
  name: `iova.depot-${order}`,
  expire: (machine: Machine, space: number): void => {
    setTrimming(machine, space, order, false);
    machine.deferWork(() => trim(machine, space, order));
  },
}));

/** Lets the calling thread look after the depots of all spaces. */
export function installTrimTimers(machine: Machine): void {
  for (const ops of TRIM_TIMERS) machine.timers.install(ops);
}

/** Has the depot of a space trimmed in 100 ms, if that is not so already. Without memory for a timer, the next call does it. */
export function startTrim(machine: Machine, space: number, order: number): void {
  if (!setTrimming(machine, space, order, true)) return;
  try {
    machine.timers.start(TRIM_TIMERS[order]!, space, DELAY_MS);
  } catch (error) {
    if (!isKernelError(error, 'ENOMEM')) throw error;
    setTrimming(machine, space, order, false);
  }
}

/** While there are more magazines than tasks, one goes back each time. @kernel iova_depot_work_func */
function trim(machine: Machine, space: number, order: number): void {
  const p = machine.slab(IovaStruct).tryAt(space);
  if (p === 0) return;
  const online = machine.tasks().filter(({ state }) => state !== 'dead').length;
  const cache = new IovaCache(machine, p);
  const ranges = new IovaRanges(machine, p);
  try {
    const trimmed = mutexOf(machine, p, IovaStruct.lock).with(() => {
      if (cache.depotOf(order) <= online) return false;
      cache.trim(order, (page) => void ranges.free(page));
      return true;
    });
    if (trimmed) startTrim(machine, space, order);
  } catch (error) {
    // A task died with the space's lock: nobody uses it any more.
    if (!isKernelError(error, 'EOWNERDEAD')) throw error;
  }
}

/** Notes whether the timer runs. False: that was noted already, or the space is gone. */
function setTrimming(machine: Machine, space: number, order: number, on: boolean): boolean {
  const p = machine.slab(IovaStruct).tryAt(space);
  if (p === 0 || (IovaStruct.trimming.get(machine.mem, p, order) === 1) === on) return false;
  IovaStruct.trimming.set(machine.mem, p, order, on ? 1 : 0);
  return true;
}
