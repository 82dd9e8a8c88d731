import { isKernelError } from '@dmabuf-emu/shm';

/**
 * Runs `fn` under a lock; when that was lost with the task that held it, runs `fn` all the same, since nobody else will ever
 * get it. False then. For work that must be done: taking something away, giving it back.
 * @param locked - runs a function with the lock held
 */
export function evenIfLost(locked: (fn: () => void) => void, fn: () => void): boolean {
  let ran = false;
  try {
    locked(() => {
      ran = true;
      fn();
    });
    return true;
  } catch (error) {
    if (ran || !isKernelError(error, 'EOWNERDEAD')) throw error;
    fn();
    return false;
  }
}
