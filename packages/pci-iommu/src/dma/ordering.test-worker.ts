import type { Machine } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { PciSystem } from '../system/index.ts';

/** One side of a conversation: a device that writes data, then a flag; a reader that waits for the flag. */
export interface OrderingJob {
  readonly role: 'device' | 'reader';
  readonly bdf: string;
  /** A page of data; the flag and the reader's answer are in the next one. */
  readonly address: number;
  readonly rounds: number;
}

export interface OrderingResult {
  readonly rounds: number;
  /** Rounds in which the reader saw other data than the flag promised. */
  readonly wrong: number;
}

const DATA_BYTES = 4096;
const LOOKS = 1e8;

function converse(machine: Machine, { role, bdf, address, rounds }: OrderingJob): OrderingResult {
  const { dma } = PciSystem.of(machine).function(bdf);
  const [flag, answer] = [address + DATA_BYTES, address + DATA_BYTES + 64];
  const await32 = (at: number, value: number): void => {
    for (let looks = 0; dma.load(at) !== value; looks++) if (looks > LOOKS) throw new Error(`no ${value} came`);
  };
  let wrong = 0;
  for (let round = 1; round <= rounds; round++) {
    if (role === 'device') {
      dma.fill(address, round & 0xff, DATA_BYTES);
      dma.store(flag, round);
      await32(answer, round);
    } else {
      await32(flag, round);
      if (dma.read(address, DATA_BYTES).some((byte) => byte !== (round & 0xff))) wrong++;
      dma.store(answer, round);
    }
  }
  return { rounds, wrong };
}

await runTestWorker(converse);
