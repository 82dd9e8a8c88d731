import { DmaBuf } from '@dmabuf-emu/core';
import { type Machine, taskIsDead, type VerifyBuilder } from '@dmabuf-emu/shm';
import { UdmabufStruct as U } from './udmabuf-struct.ts';

/** Proves on a quiet machine that every udmabuf has its dma-buf. */
export function verifyUdmabufs(machine: Machine, report: VerifyBuilder): void {
  const slab = machine.slab(U);
  report.count('udmabuf', 0);
  for (const ref of slab.live()) {
    report.count('udmabuf', 1);
    const p = slab.at(ref);
    const dmabuf = DmaBuf.of(machine, U.dmabuf.get(machine.mem, p));
    if (dmabuf.label !== 'gone' && dmabuf.priv === ref) continue;
    const owner = slab.ownerOf(ref, U.ownerTask.get(machine.mem, p));
    if (taskIsDead(machine, owner)) report.damage('udmabuf', `a buffer was being made by task ${owner}, which died`);
    else report.leak('udmabuf', 'a buffer has no dma-buf');
  }
}
