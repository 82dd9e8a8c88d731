import { type Machine, TaskKilled } from '@dmabuf-emu/shm';
import { PollEvents } from '../poll-events.ts';
import { askItem } from './ask-item.ts';
import { epollMutex } from './items.ts';
import { listFresh, listLast, readyItems, takeFresh, unlist } from './ready-list.ts';
import { EpollItemStruct as I } from './structs.ts';
import { PRIVATE_BITS } from './wake.ts';

/** What an epoll file tells of a file. @kernel epoll_event */
export interface EpollReport {
  /** What it is ready for: a mask of `PollEvents`. */
  readonly events: number;
  readonly data: bigint;
}

/**
 * Looks at the items on the ready list, in order, and takes up to `max` that are ready. Those that became fresh meanwhile
 * come next on the list, then the level-triggered ones that were taken. @kernel ep_send_events
 */
export function collect(machine: Machine, p: number, max: number): EpollReport[] {
  const found: EpollReport[] = [];
  const again = new Set<number>();
  const finish = (): void => {
    const fresh = takeFresh(machine, p).filter((ref) => !again.has(ref));
    for (const ref of [...fresh, ...again]) listLast(machine, p, ref);
  };
  epollMutex(machine, p).with(() => {
    listFresh(machine, p);
    try {
      for (const ref of readyItems(machine, p)) {
        if (found.length === max) break;
        take(machine, p, ref, found, again);
      }
    } catch (error) {
      if (!(error instanceof TaskKilled)) finish();
      throw error;
    }
    finish();
  });
  return found;
}

function take(machine: Machine, p: number, ref: number, found: EpollReport[], again: Set<number>): void {
  const { mem } = machine;
  const item = machine.slab(I).at(ref);
  unlist(machine, p, ref);
  const ready = askItem(machine, ref, 1);
  if (ready === 0) return;
  const low = BigInt(I.data.get(mem, item, 0) >>> 0);
  found.push({ events: ready >>> 0, data: (BigInt(I.data.get(mem, item, 1) >>> 0) << 32n) | low });
  const asked = I.events.load(mem, item);
  if ((asked & PollEvents.ONESHOT) !== 0) I.events.store(mem, item, asked & PRIVATE_BITS);
  else if ((asked & PollEvents.ET) === 0) again.add(ref);
}
