import type { Machine } from '@dmabuf-emu/shm';
import { tableOf } from './internal/table-of.ts';

/*
 * Code that has to be run through before fences can be signalled must wait for nothing that may wait for fences itself. Lock
 * validation reports waits for fences, and locking of reservation objects, inside such a section.
 */

/**
 * Begins a section on the way to signalling; may be nested.
 * @returns the cookie that {@link fenceEndSignalling} wants.
 * @kernel dma_fence_begin_signalling
 */
export function fenceBeginSignalling(machine: Machine): boolean {
  const t = tableOf(machine);
  if (t.signalling || !machine.lockdep.enabled) return true;
  t.signalling = true;
  return false;
}

/** Ends the section that gave `cookie`. @kernel dma_fence_end_signalling */
export function fenceEndSignalling(machine: Machine, cookie: boolean): void {
  if (!cookie) tableOf(machine).signalling = false;
}
