import { registerDrivers } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import { prepareMemory } from '../memory/index.ts';
import { registerDrmFiles } from './device/file-ops.ts';
import { drmExporter } from './prime/exporter-ops.ts';
import { vgemTimeout } from './vgem/vgem-fence.ts';
import { registerDrmHolders, verifyDrm } from './verify.ts';

const REGISTERED = Symbol('exporter-heap.drm');

/**
 * Makes the code of DRM devices available in the calling thread. Every thread that closes such files, or attaches to, maps or
 * puts their buffers needs it; opening a device does it.
 */
export function registerDrm(machine: Machine): void {
  machine.local(REGISTERED, () => {
    prepareMemory(machine);
    registerDrivers(machine, [drmExporter]);
    registerDrmFiles(machine);
    machine.timers.install(vgemTimeout);
    registerDrmHolders(machine);
    machine.onVerify('exporter-heap.drm', (report) => verifyDrm(machine, report));
    return true;
  });
}
