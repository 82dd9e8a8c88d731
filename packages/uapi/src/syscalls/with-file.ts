import type { OpenFile } from '../files/file-behaviour.ts';
import type { Process } from '../process/process.ts';

/** What a file was opened for. @kernel FMODE_READ, FMODE_WRITE */
export const Fmode = { READ: 1, WRITE: 2 } as const;

/** Runs `fn` with the file behind `fd`, held meanwhile. @kernel fdget @throws KernelError EBADF */
export function withFile<T>(process: Process, fd: number, fn: (open: OpenFile) => T): T {
  const file = process.fds.get(fd | 0);
  try {
    return fn({ process, file, fd: fd | 0 });
  } finally {
    file.put();
  }
}
