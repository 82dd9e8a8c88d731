import { TaskKilled } from '@dmabuf-emu/shm';

/**
 * Runs `fn`; when it fails, runs `undo` and lets the failure go on. A task that was killed undoes nothing: its CPU is gone.
 */
export function undoOnFailure<T>(fn: () => T, undo: () => void): T {
  try {
    return fn();
  } catch (error) {
    if (!(error instanceof TaskKilled)) undo();
    throw error;
  }
}
