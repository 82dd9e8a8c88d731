import { DmaBuf } from '@dmabuf-emu/core';
import { type Machine, taskIsDead, type VerifyBuilder } from '@dmabuf-emu/shm';
import { VfioCore } from '../device/vfio-core.ts';
import { VfioStruct as V } from '../device/vfio-struct.ts';
import { listed } from './device-list.ts';
import { VfioDmaBufStruct as D } from './dma-buf-struct.ts';
import { ExportedBuffer } from './exported-buffer.ts';

/** Proves on a quiet machine that buffers, device lists and registrations agree. */
export function verifyVfio(machine: Machine, report: VerifyBuilder): void {
  const onLists = new Set<number>();
  const buffersOf = new Map<number, number>();
  for (const core of knownCores(machine)) {
    if ((V.session.load(machine.mem, core.p) & 1) === 1) report.count('vfio.open', 1);
    for (const buffer of listed(core)) onLists.add(buffer.ref);
  }
  for (const ref of machine.slab(D).live()) {
    const buffer = new ExportedBuffer(machine, ref);
    report.count('vfio.buffer', 1);
    verifyBuffer(buffer, onLists.has(ref), report);
    const device = D.device.get(machine.mem, buffer.p);
    if (device !== 0) buffersOf.set(device - 1, (buffersOf.get(device - 1) ?? 0) + 1);
  }
  for (const core of knownCores(machine)) {
    const bound = V.bound.load(machine.mem, core.p) === 1 ? 1 : 0;
    const expected = bound + (core.isOpen ? 1 : 0) + (buffersOf.get(core.fn.index) ?? 0);
    const held = V.registration.load(machine.mem, core.p);
    const text = `${core.fn.bdf}: ${held} registrations are held, by count ${expected}`;
    if (held !== expected && machine.tainted) report.damage('vfio', text);
    else if (held !== expected) report.error(`vfio ${text}`);
  }
}

function verifyBuffer(buffer: ExportedBuffer, isListed: boolean, report: VerifyBuilder): void {
  const { machine, p, ref, revocable } = buffer;
  const { mem } = machine;
  const text = `vfio buffer ${ref}`;
  if (buffer.lost) return report.damage('vfio', `${text} was lost with a dead task`);
  const owner = machine.slab(D).ownerOf(ref, D.ownerTask.get(mem, p));
  const dmabuf = DmaBuf.of(machine, D.dmabuf.get(mem, p));
  if (dmabuf.label === 'gone') {
    if (taskIsDead(machine, owner)) report.damage('vfio', `${text} was being exported by task ${owner}, which died`);
    else report.leak('vfio', `${text} has no dma-buf`);
    return;
  }
  if (dmabuf.priv !== ref) report.error(`${text} is not what its dma-buf ${dmabuf.label} names`);
  if (isListed !== (D.listed.get(mem, p) !== 0))
    report.error(`${text} is marked listed or not, its device says otherwise`);
  if (D.device.get(mem, p) === 0 && !revocable.revoked)
    report.error(`${text} outlives its device without being revoked`);
  if (revocable.revoked && revocable.mapCount > 1)
    report.error(`${text} is revoked with ${revocable.mapCount - 1} live mappings`);
}

/** Devices that were ever bound. */
export function knownCores(machine: Machine): VfioCore[] {
  return machine.arena
    .rootNames('vfio.device:')
    .map((name) => VfioCore.of(machine, Number(name.slice('vfio.device:'.length))));
}
