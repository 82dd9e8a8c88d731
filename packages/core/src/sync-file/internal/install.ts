import { type Machine, orUndo } from '@dmabuf-emu/shm';
import { FdTable } from '../../fd/fd-table.ts';
import type { SyncFile } from '../sync-file.ts';

/**
 * A new descriptor for what `make` makes: taken before that, and filled when nothing can fail any more, so that nobody sees it
 * earlier.
 * @param copyOut is told the descriptor; may throw.
 * @throws KernelError EMFILE, ENOMEM, and what `make` and `copyOut` throw, with nothing left behind
 * @kernel get_unused_fd_flags, fd_install
 */
export function installNew(machine: Machine, make: () => SyncFile, copyOut?: (fd: number) => void): number {
  const table = FdTable.current(machine);
  const fd = table.reserve({ cloexec: true });
  orUndo(
    () => {
      const made = make();
      orUndo(
        () => copyOut?.(fd),
        () => made.file.put(),
      );
      table.fill(fd, made.file);
    },
    () => table.unreserve(fd),
  );
  return fd;
}
