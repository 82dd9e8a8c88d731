import { FdTable } from '@dmabuf-emu/core';
import { DrmFile, registerDrm } from '@dmabuf-emu/exporter-heap';
import { runTestWorker } from '@dmabuf-emu/shm/testing';

/** Imports a buffer as a thread of a process, and stays. */
await runTestWorker<{ process: number; drm: number; dmabuf: number }, void>((machine, { process, drm, dmabuf }) => {
  registerDrm(machine);
  const fds = FdTable.of(machine, process).join();
  const file = fds.get(drm);
  file.put();
  DrmFile.of(file).primeFdToHandle(dmabuf);
  for (;;) machine.wait(machine.root('test.nap', 16), 0, 'test.imported', 1000);
});
