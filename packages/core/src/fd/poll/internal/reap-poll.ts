import { type Machine } from '@dmabuf-emu/shm';
import { finishFresh } from './ready-list.ts';
import { itemsOf } from './items.ts';
import { withMutex } from './release-watchers.ts';
import { EpollStruct as P } from './structs.ts';
import { dropWaitsOf } from './task-entries.ts';

/** Ends what a dead task waited for, and finishes what it had begun to tell epoll files. */
export function reapPoll(machine: Machine, dead: number): void {
  dropWaitsOf(machine, dead);
  for (const ref of machine.slab(P).live()) {
    const p = machine.slab(P).tryAt(ref);
    if (p !== 0) withMutex(machine, p, () => finishFresh(machine, p, itemsOf(machine, p), dead));
  }
}
