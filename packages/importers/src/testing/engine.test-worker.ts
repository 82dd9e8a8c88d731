import { DmaBuf } from '@dmabuf-emu/core';
import type { ImporterKind, RogueKind, StepOutcome } from '@dmabuf-emu/importers';
import { PciSystem } from '@dmabuf-emu/pci-iommu';
import {
  atomicAdd,
  atomicLoad,
  atomicStore,
  type ErrnoName,
  isKernelError,
  type Machine,
  setSyncHook,
} from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { attach, control, pciOf } from './rig.test-worker.ts';

/** Known to the machine before the thread stops, maybe with the lock of its names. */
const DYING_LABEL = 'test.dying';

/** What an engine worker is to do. */
export interface EngineArgs {
  readonly dmabuf: number;
  readonly kind: ImporterKind;
  readonly rogue?: RogueKind;
  readonly bdf?: string;
  readonly index?: number;
  readonly count?: number;
  readonly seed?: number;
  /** Stands still, to be terminated, at the `pass`-th time it comes to this sync point (`*`: to any). */
  readonly dieAt?: { readonly label: string; readonly pass: number };
}

/** What it did. */
export interface EngineReport {
  readonly outcomes: Partial<Record<StepOutcome, number>>;
  readonly bytes: number;
  readonly mismatches: number;
  readonly maps: number;
  readonly fenceWakes: number;
  readonly refused?: ErrnoName;
}

await runTestWorker<EngineArgs, EngineReport>((machine, args) => {
  pciOf(machine);
  const { stop, steps } = control(machine);
  const { kind, bdf, dieAt } = args;
  const outcomes: Partial<Record<StepOutcome, number>> = {};
  const report = { outcomes, bytes: 0, mismatches: 0, maps: 0, fenceWakes: 0 };
  if (dieAt !== undefined) dieOn(machine, dieAt.label, dieAt.pass);
  try {
    const fn = bdf === undefined ? {} : { fn: PciSystem.of(machine).function(bdf) };
    const session = attach(kind, DmaBuf.of(machine, args.dmabuf), { ...args, ...fn });
    while (atomicLoad(machine.mem, stop) === 0) {
      const result = session.step();
      outcomes[result.outcome] = (outcomes[result.outcome] ?? 0) + 1;
      report.bytes += result.bytesWritten + result.bytesRead;
      report.mismatches += result.mismatches.length;
      if (result.mapped === true) report.maps++;
      if (result.fenceWakeNs !== undefined) report.fenceWakes++;
      atomicAdd(machine.mem, steps, 1);
    }
    session.detach();
    return report;
  } catch (error) {
    if (isKernelError(error)) return { ...report, refused: error.code };
    throw error;
  }
});

/** Stops the thread for good at a sync point, for the test to terminate it there: its locks stay as they are. */
function dieOn(machine: Machine, label: string, pass: number): void {
  let left = pass;
  machine.intern(DYING_LABEL);
  const { dying } = control(machine);
  setSyncHook((at) => {
    if ((label !== '*' && at !== label) || --left > 0) return;
    setSyncHook(null);
    atomicStore(machine.mem, dying, machine.tid);
    for (;;) machine.wait(dying, machine.tid, DYING_LABEL);
  });
}
