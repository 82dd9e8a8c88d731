import { installFences, registerDrivers } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import { gpuImporter } from './gpu/gpu-bo.ts';
import { gpuFence } from './gpu/gpu-fence.ts';
import { noteJobFences } from './gpu/job-order.ts';
import { iommufdImporter } from './iommufd/iopt-pages.ts';
import { odpImporter } from './odp/odp-mr.ts';
import { pinnedUmemImporter, revocablePinnedUmemImporter } from './rdma-umem/pinned-umem.ts';
import { reapImporters } from './reap.ts';
import { RevocableMr } from './revocable-pinned/revocable-mr.ts';
import { ROGUE_FENCES, ROGUE_IMPORTERS } from './rogue/rogue-importers.ts';
import { verifyImporters } from './verify.ts';

const DONE = Symbol('importers.registered');

/**
 * Makes the callbacks of all importers of this package available in the calling thread, and its clean-up after dead tasks and
 * its checks. Every thread that revokes buffers needs it, as does whoever reaps or verifies. Doing it again changes nothing.
 */
export function registerImporters(machine: Machine): void {
  machine.local(DONE, () => {
    const importers = [odpImporter, revocablePinnedUmemImporter, pinnedUmemImporter, iommufdImporter, gpuImporter];
    registerDrivers(machine, [...importers, ...ROGUE_IMPORTERS, gpuFence, ...ROGUE_FENCES]);
    installFences(machine);
    RevocableMr.registerHook(machine);
    noteJobFences(machine);
    machine.onReap('importers', (task) => reapImporters(machine, task));
    machine.onVerify('importers', (report) => verifyImporters(machine, report));
    return true;
  });
}
