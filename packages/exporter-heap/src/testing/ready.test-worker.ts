import type { Machine } from '@dmabuf-emu/shm';

/** Counts workers that are about to do their thing. */
export function readyWord(machine: Machine): number {
  return machine.root('test.ready', 16);
}
