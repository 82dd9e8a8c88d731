import { orUndo } from '@dmabuf-emu/shm';
import type { DmaBuf } from '@dmabuf-emu/core';

/**
 * A descriptor for a buffer that was just exported, which takes over its reference. When there is none, the buffer is put, and
 * that alone undoes the export.
 * @throws KernelError EMFILE, ENOMEM
 */
export function installFd(dmabuf: DmaBuf, openFlags: number): number {
  return orUndo(
    () => dmabuf.fd(openFlags),
    () => dmabuf.put(),
  );
}
