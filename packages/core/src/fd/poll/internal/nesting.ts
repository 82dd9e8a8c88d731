import { KernelError, type Machine, withSpin } from '@dmabuf-emu/shm';
import { FileStruct as F } from '../../file-struct.ts';
import { File } from '../../file.ts';
import { EPOLL_FILE } from './ask-item.ts';
import { epollMutex, itemsOf } from './items.ts';
import { EpollItemStruct as I, EpollStruct as P } from './structs.ts';

/** Epoll files may watch each other this deep. @kernel EP_MAX_NESTS */
const MAX_NESTS = 4;

/** Refuses to have epoll file `outer` watch `inner` when that makes a loop or a tower. @throws KernelError ELOOP @kernel ep_loop_check */
export function checkNesting(machine: Machine, outer: File, inner: File): void {
  const depth = depthBelow(machine, inner, outer.ref, 0) + 1 + heightAbove(machine, outer.ref, 0);
  if (depth <= MAX_NESTS) return;
  throw new KernelError('ELOOP', 'epoll_ctl', `epoll files may watch each other ${MAX_NESTS} deep, without a loop`);
}

/** How many epoll files are watched below `file`, at most; more than allowed when one of them is `outer`. */
function depthBelow(machine: Machine, file: File, outer: number, level: number): number {
  if (level > MAX_NESTS) return level;
  const p = machine.slab(P).at(file.priv);
  return epollMutex(machine, p, level + 1).with(() => {
    let depth = 0;
    for (const ref of itemsOf(machine, p)) {
      const watched = File.of(machine, I.file.get(machine.mem, machine.slab(I).at(ref)));
      if (machine.slab(F).tryAt(watched.ref) === 0 || watched.type !== EPOLL_FILE) continue;
      if (watched.ref === outer) return MAX_NESTS + 1;
      depth = Math.max(depth, depthBelow(machine, watched, outer, level + 1) + 1);
    }
    return depth;
  });
}

/** How many epoll files watch above the one with file `file`, at most. @kernel ep_get_upwards_depth_proc */
function heightAbove(machine: Machine, file: number, level: number): number {
  if (level > MAX_NESTS) return level;
  const { mem } = machine;
  const at = machine.slab(F).at(file);
  const watchers = withSpin(machine, at + F.watchLock.at, () => {
    const files: number[] = [];
    for (let ref = F.watchers.get(mem, at); ref !== 0; ref = I.nextOfFile.get(mem, machine.slab(I).at(ref))) {
      files.push(P.file.get(mem, machine.slab(P).at(I.ep.get(mem, machine.slab(I).at(ref)))));
    }
    return files;
  });
  const heights = watchers
    .filter((ref) => machine.slab(F).tryAt(ref) !== 0)
    .map((ref) => heightAbove(machine, ref, level + 1) + 1);
  return Math.max(0, ...heights);
}
