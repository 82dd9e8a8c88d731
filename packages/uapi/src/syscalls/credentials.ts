import { MAX_FD_LIMIT } from '@dmabuf-emu/core';
import { KernelError } from '@dmabuf-emu/shm';
import type { Process } from '../process/process.ts';

const NOBODY = 65_534;

/** Sets how many descriptors, or bytes of locked memory, the program may have. @kernel setrlimit(2) @throws KernelError EPERM */
export function setrlimit(process: Process, resource: 'NOFILE' | 'MEMLOCK', value: bigint): void {
  if (resource === 'MEMLOCK') {
    process.memlockBytes = Number(value);
    return;
  }
  if (value > BigInt(MAX_FD_LIMIT)) {
    throw new KernelError('EPERM', 'setrlimit', `at most ${MAX_FD_LIMIT} descriptors, got ${value}`);
  }
  process.fds.limit = Number(value);
}

/** Gives up root for good: user and group become 65534. @kernel setgid(2), setuid(2) @throws KernelError EPERM */
export function dropRoot(process: Process): void {
  if (process.uid !== 0) throw new KernelError('EPERM', 'setuid', `the program is user ${process.uid}, not root`);
  process.setUser(NOBODY, NOBODY);
}
