import type { Machine } from '@dmabuf-emu/shm';
import { ownedBy } from '../internal/owned-by.ts';
import { UserAreaStruct as A, UserPinStruct as P } from './user-memory-structs.ts';
import { areasOf, freeArea, unpinArea } from './user-pins.ts';

/** Unmaps what a dead task had mapped, and lets go of pins that nothing refers to any more. */
export function reapUserMemory(machine: Machine, task: number): void {
  const { mem } = machine;
  for (const pin of ownedBy(machine, P, task)) {
    const area = P.area.get(mem, machine.slab(P).at(pin));
    machine.slab(P).free(pin, 'reap');
    if (area !== 0) unpinArea(machine, area);
  }
  for (const { ref, p } of areasOf(machine, task)) {
    if (A.bytes.get(mem, p) === 0) {
      machine.slab(A).free(ref, 'reap');
      continue;
    }
    A.gone.store(mem, p, 1);
    if (A.pins.load(mem, p) === 0) freeArea(machine, ref);
  }
}
