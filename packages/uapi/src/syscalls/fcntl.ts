import { OpenFlags } from '@dmabuf-emu/core';
import { KernelError } from '@dmabuf-emu/shm';
import { behaviourOf } from '../files/behaviours.ts';
import type { FileBehaviour, OpenFile } from '../files/file-behaviour.ts';
import type { Process } from '../process/process.ts';
import { Fmode, withFile } from './with-file.ts';

/** @kernel F_* */
export const Fcntl = {
  DUPFD: 0,
  GETFD: 1,
  SETFD: 2,
  GETFL: 3,
  SETFL: 4,
  DUPFD_CLOEXEC: 1030,
  ADD_SEALS: 1033,
  GET_SEALS: 1034,
} as const;

/** Open flags that F_SETFL changes. @kernel SETFL_MASK */
const CHANGEABLE = OpenFlags.APPEND | OpenFlags.NONBLOCK;
const FD_CLOEXEC = 1n;

/** @kernel fcntl(2) @throws KernelError EBADF, EINVAL, EMFILE, EPERM, EBUSY */
export function fcntl(process: Process, fd: number, command: number, argument = 0n): number {
  return withFile(process, fd, (open) => {
    const { file } = open;
    switch (command) {
      case Fcntl.DUPFD:
      case Fcntl.DUPFD_CLOEXEC:
        return duplicate(open, argument, command === Fcntl.DUPFD_CLOEXEC);
      case Fcntl.GETFD:
        return process.fds.cloexec(open.fd) ? 1 : 0;
      case Fcntl.SETFD:
        process.fds.setCloexec(open.fd, (argument & FD_CLOEXEC) !== 0n);
        return 0;
      case Fcntl.GETFL:
        return file.flags;
      case Fcntl.SETFL:
        file.flags = (file.flags & ~CHANGEABLE) | (Number(BigInt.asUintN(32, argument)) & CHANGEABLE);
        return 0;
      case Fcntl.ADD_SEALS:
        if ((file.mode & Fmode.WRITE) === 0)
          throw new KernelError('EPERM', 'memfd_fcntl', 'the file is not open for writing');
        sealable(open, 'addSeals')(open, Number(BigInt.asUintN(32, argument)));
        return 0;
      case Fcntl.GET_SEALS:
        return sealable(open, 'seals')(open);
      default:
        throw new KernelError('EINVAL', 'fcntl', `command ${command} is unknown`);
    }
  });
}

function duplicate({ process, fd }: OpenFile, argument: bigint, cloexec: boolean): number {
  const least = Number(BigInt.asIntN(32, argument));
  if (least < 0 || least >= process.fds.limit) {
    throw new KernelError('EINVAL', 'fcntl', `the least descriptor is 0 to ${process.fds.limit - 1}, got ${least}`);
  }
  return process.fds.dup(fd, least, { cloexec });
}

function sealable<K extends 'seals' | 'addSeals'>({ file }: OpenFile, operation: K): NonNullable<FileBehaviour[K]> {
  const found = behaviourOf(file)[operation];
  if (found === undefined) throw new KernelError('EINVAL', 'memfd_fcntl', `a ${file.type} file has no seals`);
  return found;
}
