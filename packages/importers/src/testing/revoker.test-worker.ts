import { DmaBuf } from '@dmabuf-emu/core';
import { registerImporters } from '@dmabuf-emu/importers';
import { isKernelError } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { revoke, unrevoke } from './bar-exporter.test-worker.ts';
import { pciOf } from './rig.test-worker.ts';

/** What a revoker worker is to do: revoke a buffer, and give it back, so many times. */
export interface RevokerArgs {
  readonly dmabuf: number;
  readonly times: number;
  /** Leave the buffer revoked at the end. */
  readonly keep?: boolean;
}

await runTestWorker<RevokerArgs, string>((machine, { dmabuf, times, keep = false }) => {
  pciOf(machine);
  registerImporters(machine);
  const buffer = DmaBuf.of(machine, dmabuf);
  try {
    for (let i = 0; i < times; i++) {
      revoke(buffer);
      if (!keep || i < times - 1) unrevoke(buffer);
    }
    return 'done';
  } catch (error) {
    if (isKernelError(error)) return error.code;
    throw error;
  }
});
