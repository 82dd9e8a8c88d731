import { type Machine, taskIsDead, taskIsRunning, type VerifyBuilder } from '@dmabuf-emu/shm';
import { GpuBoStruct } from './gpu/gpu-bo-struct.ts';
import { GpuJobStruct } from './gpu/gpu-job-struct.ts';
import { HwStruct } from './hw/hw-struct.ts';
import {
  AreaStruct,
  HwptStruct,
  IoasStruct,
  PagesStruct,
  TrackStruct,
  UserPagesStruct,
} from './iommufd/iommufd-structs.ts';
import type { OwnedStruct } from './internal/owned-by.ts';
import { OdpMrStruct } from './odp/odp-mr-struct.ts';
import { UmemStruct } from './rdma-umem/umem-struct.ts';
import { RevocableMrStruct } from './revocable-pinned/revocable-mr-struct.ts';
import { StaticImportStruct } from './static/static-import-struct.ts';
import { UserAreaStruct, UserPinStruct } from './user-memory/user-memory-structs.ts';
import { ContainerStruct, VfioDmaStruct } from './vfio-container/container-structs.ts';

const STRUCTS: readonly OwnedStruct[] = [
  HwStruct,
  UmemStruct,
  OdpMrStruct,
  RevocableMrStruct,
  StaticImportStruct,
  GpuBoStruct,
  GpuJobStruct,
  IoasStruct,
  HwptStruct,
  AreaStruct,
  PagesStruct,
  TrackStruct,
  UserPagesStruct,
  ContainerStruct,
  VfioDmaStruct,
  UserAreaStruct,
  UserPinStruct,
];

/** Whatever is left of a session on a quiet machine was not detached. */
export function verifyImporters(machine: Machine, report: VerifyBuilder): void {
  for (const struct of STRUCTS) {
    const slab = machine.slab(struct);
    let live = 0;
    for (const ref of slab.live()) {
      live++;
      const task = slab.ownerOf(ref, struct.task.get(machine.mem, slab.at(ref)));
      const owner = `task ${task} (${machine.taskName(task)})`;
      if (taskIsDead(machine, task)) report.damage(struct.$name, `left by ${owner}, which died`);
      else report.leak(struct.$name, `not freed by ${owner}${taskIsRunning(machine, task) ? '' : ', which is gone'}`);
    }
    report.count(struct.$name, live);
  }
}
