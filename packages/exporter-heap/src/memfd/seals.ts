import type { File } from '@dmabuf-emu/core';
import { KernelError } from '@dmabuf-emu/shm';
import { isHeadPage, pageRefs } from '../memory/page.ts';
import type { Shmem } from '../memory/shmem.ts';
import { ShmemStruct as S } from '../memory/shmem-struct.ts';
import { ALL_SEALS, Seal } from './flags.ts';

/** Access mode bit of files opened for writing. @kernel FMODE_WRITE */
const FMODE_WRITE = 2;

/** @kernel memfd_get_seals */
export function sealsOf({ machine, p }: Shmem): number {
  return S.seals.load(machine.mem, p);
}

/**
 * Adds seals. Writing can only be sealed while nothing is mapped writable and no page is pinned.
 * @kernel memfd_add_seals
 * @locks takes inode_lock for writing
 * @throws KernelError EPERM (not open for writing, sealed against seals), EINVAL (unknown seals), EBUSY
 */
export function addSeals(file: File, shmem: Shmem, seals: number): void {
  const refuse = (code: 'EPERM' | 'EINVAL' | 'EBUSY', why: string): KernelError =>
    new KernelError(code, 'memfd_add_seals', why);
  if ((file.mode & FMODE_WRITE) === 0) throw refuse('EPERM', 'the file is not open for writing');
  if ((seals & ~ALL_SEALS) !== 0) throw refuse('EINVAL', `seals 0x${(seals >>> 0).toString(16)}, known are 0x3f`);
  shmem.inodeLock.write(() => {
    const { machine, p } = shmem;
    const before = sealsOf(shmem);
    if ((before & Seal.SEAL) !== 0) throw refuse('EPERM', 'the file is sealed against seals');
    if ((seals & Seal.WRITE) !== 0 && (before & Seal.WRITE) === 0) {
      const maps = S.writableMaps.load(machine.mem, p);
      if (maps > 0) throw refuse('EBUSY', `${maps} mappings may write`);
      if (hasPins(shmem)) throw refuse('EBUSY', 'a page is pinned');
    }
    S.seals.store(machine.mem, p, before | seals | impliedBy(shmem, seals));
  });
}

/** A file that is executable and sealed so is sealed against changes. */
function impliedBy({ machine, p }: Shmem, seals: number): number {
  if ((seals & Seal.EXEC) === 0 || S.executable.get(machine.mem, p) === 0) return 0;
  return Seal.SHRINK | Seal.GROW | Seal.WRITE | Seal.FUTURE_WRITE;
}

/** Whether anybody else than the file has a reference to one of its pages. @kernel memfd_wait_for_pins */
function hasPins(shmem: Shmem): boolean {
  const { machine } = shmem;
  return shmem.pagesLock.with(() => {
    for (const [, page] of shmem.tree.entries()) {
      if (isHeadPage(machine, page) && pageRefs(machine, page) > 1) return true;
    }
    return false;
  });
}

/** @throws KernelError EPERM when one of `seals` is set */
export function checkSeals(shmem: Shmem, seals: number, where: string): void {
  const set = sealsOf(shmem) & seals;
  if (set !== 0) throw new KernelError('EPERM', where, `the file is sealed (0x${set.toString(16)})`);
}
