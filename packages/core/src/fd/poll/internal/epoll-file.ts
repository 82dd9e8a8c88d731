import { builtinFileOps, type FileOps } from '../../file-ops.ts';
import { EPOLL_FILE, pollEpoll } from './ask-item.ts';
import { itemsOf, putEpoll, removeItem } from './items.ts';
import { withMutex } from './release-watchers.ts';
import { EpollItemStruct as I, EpollStruct as P } from './structs.ts';

/** How epoll files behave as files. @kernel eventpoll_fops */
export const EPOLL_FILE_OPS: FileOps = builtinFileOps({
  name: EPOLL_FILE,
  poll: (file, table) => pollEpoll(file, table, 0),
  release: ({ machine, priv: ep }) => {
    const p = machine.slab(P).at(ep);
    withMutex(machine, p, () => {
      for (const ref of itemsOf(machine, p)) {
        if (removeItem(machine, ref)) putEpoll(machine, ep);
      }
    });
    putEpoll(machine, ep);
  },
  fdinfo: ({ machine, priv: ep }) => {
    const { mem } = machine;
    const p = machine.slab(P).at(ep);
    const lines: string[] = [];
    withMutex(machine, p, () => {
      for (const ref of itemsOf(machine, p)) {
        const item = machine.slab(I).at(ref);
        const data = (I.data.get(mem, item, 1) >>> 0) * 2 ** 32 + (I.data.get(mem, item, 0) >>> 0);
        const events = (I.events.load(mem, item) >>> 0).toString(16);
        const cells = [I.fd.get(mem, item).toString(), events, data.toString(16)];
        lines.push(`tfd: ${cells[0]!.padStart(8)} events: ${cells[1]!.padStart(8)} data: ${cells[2]!.padStart(16)}`);
      }
    });
    return lines;
  },
});
