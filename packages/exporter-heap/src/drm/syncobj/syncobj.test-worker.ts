import { FdTable } from '@dmabuf-emu/core';
import { DrmFile, registerDrm, type SyncobjWait } from '@dmabuf-emu/exporter-heap';
import { isKernelError } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';

interface Args {
  /** Process to be a thread of, and its descriptor of the device. */
  readonly process: number;
  readonly fd: number;
  readonly wait: SyncobjWait;
}

/** Waits; says how it ended. */
await runTestWorker<Args, number | string | null>((machine, { process, fd, wait }) => {
  registerDrm(machine);
  const fds = FdTable.of(machine, process).join();
  const file = fds.get(fd);
  try {
    return DrmFile.of(file).syncobjWait(wait);
  } catch (error) {
    if (isKernelError(error)) return error.code;
    throw error;
  } finally {
    file.put();
  }
});
