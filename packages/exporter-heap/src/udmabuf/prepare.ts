import { registerDrivers } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import { prepareMemfds } from '../memfd/file-ops.ts';
import { udmabufDriver } from './exporter-ops.ts';
import { verifyUdmabufs } from './verify.ts';

const PREPARED = Symbol('exporter-heap.udmabuf');

/** Makes this room's code available in the calling thread, once. */
export function prepareUdmabuf(machine: Machine): void {
  machine.local(PREPARED, () => {
    prepareMemfds(machine);
    registerDrivers(machine, [udmabufDriver]);
    machine.onVerify('exporter-heap.udmabuf', (report) => verifyUdmabufs(machine, report));
    return true;
  });
}
