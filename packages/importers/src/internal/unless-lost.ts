import { isKernelError } from '@dmabuf-emu/shm';

/**
 * Runs `fn`; false when a lock that it needs was lost with the task that held it. For clean-up, which must go on as far as
 * it can.
 */
export function unlessLost(fn: () => void): boolean {
  try {
    fn();
    return true;
  } catch (error) {
    if (isKernelError(error, 'EOWNERDEAD')) return false;
    throw error;
  }
}
