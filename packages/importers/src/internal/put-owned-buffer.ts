import { DmaBuf } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import { unlessLost } from './unless-lost.ts';

/** Drops the reference on a buffer that a dead task held; 0 is none. A buffer that is beyond use keeps it: it is damage. */
export function putOwnedBuffer(machine: Machine, ref: number): void {
  if (ref === 0) return;
  const dmabuf = DmaBuf.of(machine, ref);
  if (dmabuf.damagedBy === 0) unlessLost(() => dmabuf.put());
}
