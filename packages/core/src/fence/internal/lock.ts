import { bitSpinLock, bitSpinUnlock, TaskKilled } from '@dmabuf-emu/shm';
import { LOCK, STATE } from './layout.ts';
import type { FenceTable } from './table.ts';

/** Runs `fn` with the fence's spin lock held; a killed task leaves it locked. @kernel dma_fence_lock_irqsave */
export function withLock<T>(t: FenceTable, p: number, fn: () => T): T {
  bitSpinLock(t.machine, p + STATE, LOCK);
  let result: T;
  try {
    result = fn();
  } catch (error) {
    if (!(error instanceof TaskKilled)) bitSpinUnlock(t.machine, p + STATE, LOCK);
    throw error;
  }
  bitSpinUnlock(t.machine, p + STATE, LOCK);
  return result;
}
