import { EventFd, FdTable, type File } from '@dmabuf-emu/core';
import { type Machine, orUndo } from '@dmabuf-emu/shm';

/** Runs `fn` with the eventfd of a descriptor of the calling task; its reference ends afterwards. @kernel eventfd_ctx_fdget @throws KernelError EBADF, EINVAL */
export function withEventFd(machine: Machine, fd: number, fn: (file: File) => void): void {
  const file = FdTable.current(machine).get(fd);
  orUndo(
    () => fn(EventFd.of(file).file),
    () => file.put(),
  );
  file.put();
}
