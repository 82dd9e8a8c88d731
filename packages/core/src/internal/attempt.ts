import { isKernelError, type Machine, TaskKilled } from '@dmabuf-emu/shm';

/** Runs a step of the clean-up after a dead task; tells whether it worked. A failure is reported and does not stop the rest. */
export function attemptForDead(machine: Machine, what: string, fn: () => void): boolean {
  try {
    fn();
    return true;
  } catch (error) {
    if (error instanceof TaskKilled) throw error;
    const text = `could not ${what} on behalf of a dead task: ${String(error)}`;
    if (isKernelError(error, 'EOWNERDEAD')) machine.diag.info('reap', text);
    else machine.diag.warn('reap', text);
    return false;
  }
}
