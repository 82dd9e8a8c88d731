import { FdTable } from '@dmabuf-emu/core';
import type { Machine, VerifyBuilder } from '@dmabuf-emu/shm';
import { ProcessStruct as P } from './process-struct.ts';

const PREPARED = Symbol('uapi.process');

/** Makes the calling thread take part in cleaning up and checking programs, once. */
export function prepareProcesses(machine: Machine): void {
  machine.local(PREPARED, () => {
    machine.onReap('uapi.process', () => freeEnded(machine));
    machine.onVerify('uapi.process', (report) => verifyProcesses(machine, report));
    return true;
  });
}

/** Frees programs whose last thread died. */
function freeEnded(machine: Machine): void {
  for (const ref of ended(machine)) machine.slab(P).free(ref, 'release_task');
}

/** A program that has ended is freed by whoever ended it. */
function verifyProcesses(machine: Machine, report: VerifyBuilder): void {
  report.count('uapi_process', [...machine.slab(P).live()].length);
  const deaths = machine.tasks().some(({ state }) => state === 'dead');
  for (const ref of ended(machine)) {
    const text = `program #${ref >>> 0} has ended, but was not freed`;
    if (deaths) report.damage('process', text);
    else report.leak('process', text);
  }
}

function ended(machine: Machine): number[] {
  const slab = machine.slab(P);
  return [...slab.live()].filter((ref) => {
    const p = slab.tryAt(ref);
    return p !== 0 && !FdTable.isLive(machine, P.table.get(machine.mem, p));
  });
}
