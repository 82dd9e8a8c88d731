import { type Machine, taskAt } from '@dmabuf-emu/shm';
import { attemptForDead } from '../../internal/attempt.ts';
import { FdTable } from '../fd-table.ts';
import { FileStruct as F } from '../file-struct.ts';
import { File, takerBit } from '../file.ts';

/** Takes a dead task out of its process, whose descriptors go with its last task, and releases files it had still to release. */
export function reapFiles(machine: Machine, dead: number): void {
  attemptForDead(machine, 'close its descriptors', () => FdTable.exitTask(machine, taskAt(dead)));
  const slab = machine.slab(F);
  for (const ref of slab.live()) {
    const p = slab.tryAt(ref);
    if (p === 0) continue;
    if ((F.takers.load(machine.mem, p) & takerBit(dead)) !== 0) F.lostBy.set(machine.mem, p, dead);
    attemptForDead(machine, 'release a file', () => File.of(machine, ref).takeOverFinalPut(dead));
  }
}
