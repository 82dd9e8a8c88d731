import { registerDrivers } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import { rdmaDriver } from './dma-buf/exporter-ops.ts';
import { verifyRdma } from './verify.ts';

const REGISTERED = Symbol('exporter-rdma.registered');

/**
 * Makes this exporter's code available in the calling thread. Every thread that attaches to, maps or puts its buffers needs
 * it; opening or joining a device does it.
 */
export function registerRdma(machine: Machine): void {
  machine.local(REGISTERED, () => {
    registerDrivers(machine, [rdmaDriver]);
    machine.onVerify('exporter-rdma', (report) => verifyRdma(machine, report));
    return true;
  });
}
