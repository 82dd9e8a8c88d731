import { isKernelError } from '@dmabuf-emu/shm';
import { DomainStruct } from '../iommu/domain-struct.ts';
import { IommuDomain } from '../iommu/index.ts';
import { GroupStruct } from '../iommu/pri/page-request-queue.ts';
import type { PciSystem } from './pci-system.ts';

/** Takes back what a dead task kept for itself: recycled IOVAs. */
export function reapPci(system: PciSystem, task: number): void {
  const { machine, memory } = system;
  abandonRequests(system, task);
  const slab = machine.slab(DomainStruct);
  for (const ref of slab.live()) {
    // Tasks that live on may give up domains of their own meanwhile.
    if (slab.tryAt(ref) === 0) continue;
    const domain = new IommuDomain(machine, memory.map, ref);
    try {
      domain.iova?.reap(task);
      domain.flushQueue?.reap();
    } catch (error) {
      // The task died with this space's lock: what it kept is lost, and verify tells.
      if (!isKernelError(error, 'EOWNERDEAD')) throw error;
    }
  }
}

/** Nobody waits any more for the pages that a dead task asked for. */
function abandonRequests(system: PciSystem, task: number): void {
  const { machine } = system;
  const slab = machine.slab(GroupStruct);
  for (const group of slab.live()) {
    const p = slab.tryAt(group);
    if (p === 0 || GroupStruct.task.get(machine.mem, p) !== task) continue;
    system.functions[GroupStruct.fn.get(machine.mem, p)]!.pri.abandon(GroupStruct.pages.get(machine.mem, p));
    slab.free(group, 'iopf.group');
  }
}
