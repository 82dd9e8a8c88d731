import { TaskKilled } from '../errors/kernel-error.ts';

/** Runs `fn`; when it throws, `undo` runs before the error goes on. A killed task undoes nothing. */
export function orUndo<T>(fn: () => T, undo: () => void): T {
  try {
    return fn();
  } catch (error) {
    if (!(error instanceof TaskKilled)) undo();
    throw error;
  }
}
