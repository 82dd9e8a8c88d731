import { TaskKilled } from '../errors/kernel-error.ts';
import type { Machine } from '../machine/machine.ts';
import { spinLock, spinUnlock } from './spin.ts';

/** Runs a section of a few loads and stores under the spin lock at word `at`; a killed task leaves the lock as it is. */
export function withSpin<T>(machine: Machine, at: number, fn: () => T): T {
  spinLock(machine, at);
  let result: T;
  try {
    result = fn();
  } catch (error) {
    if (!(error instanceof TaskKilled)) spinUnlock(machine, at);
    throw error;
  }
  spinUnlock(machine, at);
  return result;
}
