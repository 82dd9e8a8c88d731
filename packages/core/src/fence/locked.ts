import { bitSpinHeld, bitSpinLock, bitSpinUnlock, type Machine } from '@dmabuf-emu/shm';
import { LOCK, STATE } from './internal/layout.ts';
import { isSignaledLocked } from './internal/poll.ts';
import { signalLocked } from './internal/signal.ts';
import { statusLocked } from './internal/status.ts';
import { tableOf } from './internal/table-of.ts';

/*
 * The fence's own lock, for issuers that must do something in the same breath as signalling, and for waiting until callbacks
 * that run at the moment are done (lock, unlock).
 */

/** Takes the fence's spin lock; no sleeping until {@link fenceUnlock}. @kernel dma_fence_lock_irqsave */
export function fenceLock(machine: Machine, ref: number): void {
  bitSpinLock(machine, tableOf(machine).slab.at(ref) + STATE, LOCK);
}

/** @kernel dma_fence_unlock_irqrestore */
export function fenceUnlock(machine: Machine, ref: number): void {
  bitSpinUnlock(machine, tableOf(machine).slab.at(ref) + STATE, LOCK);
}

/** Reports a call without the fence's lock. @kernel dma_fence_assert_held */
export function fenceAssertHeld(machine: Machine, ref: number, where: string): void {
  if (machine.lockdep.enabled && !bitSpinHeld(machine, tableOf(machine).slab.at(ref) + STATE))
    machine.diag.lockdep('not-held', `${where} needs the fence's lock held`);
}

/** {@link fenceCheckAndSignal} with the fence's lock held. @kernel dma_fence_check_and_signal_locked, dma_fence_signal_locked */
export function fenceSignalLocked(machine: Machine, ref: number, timestampNs?: number): boolean {
  fenceAssertHeld(machine, ref, 'dma_fence_signal_timestamp_locked');
  const t = tableOf(machine);
  return signalLocked(t, ref, t.slab.at(ref), timestampNs);
}

/** @kernel dma_fence_is_signaled_locked */
export function fenceIsSignaledLocked(machine: Machine, ref: number): boolean {
  fenceAssertHeld(machine, ref, 'dma_fence_is_signaled_locked');
  const t = tableOf(machine);
  return isSignaledLocked(t, ref, t.slab.at(ref));
}

/** @kernel dma_fence_get_status_locked */
export function fenceGetStatusLocked(machine: Machine, ref: number): number {
  fenceAssertHeld(machine, ref, 'dma_fence_get_status_locked');
  const t = tableOf(machine);
  return statusLocked(t, ref, t.slab.at(ref));
}
