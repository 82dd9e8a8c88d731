import { registerDrivers } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import { prepareMemory } from '../memory/index.ts';
import { registerDrmFiles } from './device/file-ops.ts';
import { drmExporter } from './prime/exporter-ops.ts';
import { syncobjEventfd } from './syncobj/eventfd-entries.ts';
import { registerSyncobjHolders, verifySyncobjs } from './syncobj/verify.ts';
import { reapWaits } from './syncobj/wait.ts';
import { syncobjWake } from './syncobj/wait-entries.ts';
import { vgemFenceOps, vgemTimeout } from './vgem/vgem-fence.ts';
import { registerDrmHolders, verifyDrm } from './verify.ts';

const REGISTERED = Symbol('exporter-heap.drm');

/**
 * Makes the code of DRM devices available in the calling thread. Every thread that closes such files, or attaches to, maps or
 * puts their buffers needs it; opening a device does it.
 */
export function registerDrm(machine: Machine): void {
  machine.local(REGISTERED, () => {
    prepareMemory(machine);
    registerDrivers(machine, [drmExporter, vgemFenceOps, syncobjWake, syncobjEventfd]);
    registerDrmFiles(machine);
    machine.timers.install(vgemTimeout);
    registerDrmHolders(machine);
    registerSyncobjHolders(machine);
    machine.onReap('exporter-heap.drm', (task) => reapWaits(machine, task));
    machine.onVerify('exporter-heap.drm', (report) => {
      verifyDrm(machine, report);
      verifySyncobjs(machine, report);
    });
    return true;
  });
}
