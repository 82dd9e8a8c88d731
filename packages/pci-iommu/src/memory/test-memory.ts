import type { Machine } from '@dmabuf-emu/shm';
import { Topology } from '../topology/index.ts';
import { testBar, testFunction, testMachine } from '../topology/test-machine.ts';
import { layOutMemory } from './layout.ts';
import { PhysicalMemory } from './physical-memory.ts';

/** Start and size of the one BAR of {@link smallMemory}: much larger than what stands behind it. */
export const BIG_BAR = 0x40_0000_0000;
export const BIG_BAR_BYTES = 2 ** 36;

/** Physical memory with RAM from 0 up and one 64 GiB BAR. */
export function smallMemory(machine: Machine, ramBytes = machine.memoryBytes, backingBytes?: number): PhysicalMemory {
  const endpoint = testFunction('0000:00:02.0', 'endpoint', { bars: [testBar(BIG_BAR, BIG_BAR_BYTES)] });
  return new PhysicalMemory(machine, layOutMemory(new Topology(testMachine([endpoint])), ramBytes), backingBytes);
}
