import type { Machine } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { PciSystem } from '../system/index.ts';

/** Counts in three words at an address: by adding, by adding to 64 bits, by comparing. */
export interface CountingJob {
  readonly bdf: string;
  readonly address: number;
  readonly rounds: number;
}

function count(machine: Machine, { bdf, address, rounds }: CountingJob): number {
  const { atomics } = PciSystem.of(machine).function(bdf).dma;
  for (let i = 0; i < rounds; i++) {
    atomics.fetchAdd32(address, 1);
    atomics.fetchAdd64(address + 8, 1n);
    let old = atomics.fetchAdd32(address + 16, 0);
    for (let seen; (seen = atomics.cas32(address + 16, old, old + 1)) !== old;) old = seen;
  }
  return rounds;
}

await runTestWorker(count);
