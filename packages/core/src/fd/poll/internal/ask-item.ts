import type { Machine } from '@dmabuf-emu/shm';
import { File } from '../../file.ts';
import { PollEvents } from '../poll-events.ts';
import { PollHead } from '../poll-head.ts';
import { pollFile, PollTable } from '../poll-table.ts';
import { epollMutex } from './items.ts';
import { listFirst, listFresh, readyItems, unlist } from './ready-list.ts';
import { EpollItemStruct as I, EpollStruct as P } from './structs.ts';

/** Name of the kind of file. */
export const EPOLL_FILE = '[eventpoll]';

/** How an item is put on a head of its file. */
export type Register = (file: File, head: PollHead) => void;

/**
 * What the file of an item is ready for, of what the item asks for; 0 once the file is going. The mutex must be held.
 * @param depth how many epoll files are being looked into. @kernel ep_item_poll
 */
export function askItem(machine: Machine, ref: number, depth: number, register?: Register): number {
  const item = machine.slab(I).at(ref);
  const file = File.of(machine, I.file.get(machine.mem, item));
  if (!file.tryGet()) return 0;
  const events = I.events.load(machine.mem, item);
  const table = new PollTable(events, register);
  const ready = file.type === EPOLL_FILE ? pollEpoll(file, table, depth) : pollFile(file, table);
  file.putAnywhere();
  return ready & events;
}

/** Whether an epoll file has anything to tell. Items that have not leave the ready list. @kernel __ep_eventpoll_poll */
export function pollEpoll(file: File, table: PollTable | undefined, depth: number): number {
  const { machine } = file;
  const p = machine.slab(P).at(file.priv);
  table?.wait(file, new PollHead(machine, p + P.head.at, 'eventpoll'));
  return epollMutex(machine, p, depth).with(() => {
    listFresh(machine, p);
    for (const ref of readyItems(machine, p)) {
      unlist(machine, p, ref);
      if (askItem(machine, ref, depth + 1) === 0) continue;
      listFirst(machine, p, ref);
      return PollEvents.IN | PollEvents.RDNORM;
    }
    return 0;
  });
}
