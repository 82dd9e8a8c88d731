import type { Machine } from '@dmabuf-emu/shm';

/** Word that counts the workers that have reached their last step before they block or hang. */
export function readyWord(machine: Machine): number {
  return machine.root('test.ready', 16);
}
