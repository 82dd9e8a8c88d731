import { isKernelError, type Machine, withSpin } from '@dmabuf-emu/shm';
import { FileStruct as F } from '../../file-struct.ts';
import { epollMutex, putEpoll, removeItem } from './items.ts';
import { EpollItemStruct as I, EpollStruct as P } from './structs.ts';

/** A file goes: takes it out of the epoll files that watch it. @locks takes their mutexes @kernel eventpoll_release_file */
export function releaseWatchers(machine: Machine, file: number): void {
  const { mem } = machine;
  const at = machine.slab(F).at(file);
  for (;;) {
    const ref = withSpin(machine, at + F.watchLock.at, () => {
      const first = F.watchers.get(mem, at);
      if (first !== 0) I.dying.set(mem, machine.slab(I).at(first), 1);
      return first;
    });
    if (ref === 0) return;
    const ep = I.ep.get(mem, machine.slab(I).at(ref));
    withMutex(machine, machine.slab(P).at(ep), () => void removeItem(machine, ref, true));
    putEpoll(machine, ep);
  }
}

/** Runs `fn` with the mutex held; without it when its owner died, since nobody else will get it either. */
export function withMutex(machine: Machine, p: number, fn: () => void): void {
  const mutex = epollMutex(machine, p);
  try {
    mutex.lock();
  } catch (error) {
    if (!isKernelError(error, 'EOWNERDEAD')) throw error;
    fn();
    return;
  }
  fn();
  mutex.unlock();
}
