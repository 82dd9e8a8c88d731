import type { Machine } from '@dmabuf-emu/shm';
import { GpuBoStruct } from './gpu/gpu-bo-struct.ts';
import { GpuJobStruct } from './gpu/gpu-job-struct.ts';
import { freeJobOrder } from './gpu/job-order.ts';
import { HwStruct } from './hw/hw-struct.ts';
import { reapIommufd } from './iommufd/reap-iommufd.ts';
import { ownedBy } from './internal/owned-by.ts';
import { putOwnedBuffer } from './internal/put-owned-buffer.ts';
import { OdpMrStruct } from './odp/odp-mr-struct.ts';
import { UmemStruct } from './rdma-umem/umem-struct.ts';
import { RevocableMrStruct } from './revocable-pinned/revocable-mr-struct.ts';
import { StaticImportStruct } from './static/static-import-struct.ts';
import { reapUserMemory } from './user-memory/reap-user-memory.ts';
import { reapContainers } from './vfio-container/reap-containers.ts';

const SITE = 'reap';

/**
 * Gives back what the sessions of a dead task owned. The core has ended their mappings, attachments and fences before; a
 * callback that is still to come finds nothing and does nothing.
 */
export function reapImporters(machine: Machine, task: number): void {
  reapIommufd(machine, task);
  for (const ref of ownedBy(machine, GpuJobStruct, task)) freeJobOrder(machine, ref);
  for (const struct of [UmemStruct, GpuBoStruct, StaticImportStruct]) {
    for (const ref of ownedBy(machine, struct, task)) {
      const slab = machine.slab(struct);
      const dmabuf = struct.dmabuf.get(machine.mem, slab.at(ref));
      slab.free(ref, SITE);
      putOwnedBuffer(machine, dmabuf);
    }
  }
  reapContainers(machine, task);
  reapUserMemory(machine, task);
  for (const struct of [OdpMrStruct, RevocableMrStruct, HwStruct]) {
    for (const ref of ownedBy(machine, struct, task)) machine.slab(struct).free(ref, SITE);
  }
}
