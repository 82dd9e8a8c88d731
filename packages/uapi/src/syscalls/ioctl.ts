import { OpenFlags } from '@dmabuf-emu/core';
import { KernelError } from '@dmabuf-emu/shm';
import { s32 } from '../abi/layout.ts';
import { behaviourOf } from '../files/behaviours.ts';
import type { OpenFile } from '../files/file-behaviour.ts';
import type { Process } from '../process/process.ts';
import { withFile } from './with-file.ts';

/** Commands that every file takes. @kernel FIOCLEX, FIONCLEX, FIONBIO */
const FIOCLEX = 0x5451;
const FIONCLEX = 0x5450;
const FIONBIO = 0x5421;

/**
 * @param command 32 bits
 * @param argument 64 bits: most often an address
 * @kernel ioctl(2)
 * @throws KernelError EBADF, ENOTTY for a command that the file does not know, and what the command fails with
 */
export function ioctl(process: Process, fd: number, command: number, argument: bigint): number {
  return withFile(process, fd, (open) => {
    const number = command >>> 0;
    const address = BigInt.asUintN(64, argument);
    if (number === FIOCLEX || number === FIONCLEX) {
      process.fds.setCloexec(open.fd, number === FIOCLEX);
      return 0;
    }
    if (number === FIONBIO) return setNonBlocking(open, address);
    const handler = behaviourOf(open.file).ioctl;
    if (handler === undefined) throw notTty(open, number);
    return handler({ ...open, command: number, argument: address });
  });
}

/** The answer to a command that a kind of file does not know. */
export function notTty({ file }: OpenFile, command: number): KernelError {
  return new KernelError('ENOTTY', 'ioctl', `a ${file.type} file knows no command 0x${command.toString(16)}`);
}

function setNonBlocking({ process, file }: OpenFile, address: bigint): number {
  const on = process.memory.read(address, s32.size).some((byte) => byte !== 0);
  file.flags = on ? file.flags | OpenFlags.NONBLOCK : file.flags & ~OpenFlags.NONBLOCK;
  return 0;
}
