import type { DmaBuf, Exporter } from '@dmabuf-emu/core';
import {
  createImporter,
  type ImporterKind,
  type RogueKind,
  type Session,
  type StepResult,
} from '@dmabuf-emu/importers';
import { PciSystem, type PciFunction } from '@dmabuf-emu/pci-iommu';
import { type Machine, Random } from '@dmabuf-emu/shm';
import { exportBar, registerBarExporters, vfioLike } from './bar-exporter.test-worker.ts';

/** GPU whose BAR is exported, NICs and a GPU that import, in machine genoa-4gpu. */
export const EXPORTER = '0000:41:00.0';
export const NIC = '0000:21:00.0';
export const NIC2 = '0000:81:00.0';
export const GPU = '0000:c1:00.0';

const BAR = 1;
export const PAGES = 64;
export const BYTES = PAGES * 4096;

/** The PCI side of a machine for a test; the first thread makes it. */
export function pciOf(machine: Machine, create = false, iommu = true): PciSystem {
  const pci = create ? PciSystem.create(machine, { topology: 'genoa-4gpu', iommu }) : PciSystem.of(machine);
  registerBarExporters(machine);
  return pci;
}

/** A buffer of {@link BYTES} over the exporting GPU's BAR. */
export function buffer(
  machine: Machine,
  exporter: Exporter = vfioLike,
  options: { length?: number; split?: number } = {},
): DmaBuf {
  const fn = PciSystem.of(machine).function(EXPORTER);
  return exportBar(machine, { exporter, fn, bar: BAR, offset: 1 << 20, length: BYTES, ...options });
}

/** How a session is attached in a test. */
export interface AttachOptions {
  readonly fn?: PciFunction;
  readonly seed?: number;
  readonly index?: number;
  readonly count?: number;
  readonly rogue?: RogueKind;
}

/** A session of an importer of that kind. */
export function attach(kind: ImporterKind, dmabuf: DmaBuf, options: AttachOptions = {}): Session {
  const { machine } = dmabuf;
  const pci = PciSystem.of(machine);
  const { fn = pci.function(kind === 'gpu' ? GPU : NIC), seed = 1, index = 0, count = 2, rogue } = options;
  const importer = createImporter(kind, {
    machine,
    pci,
    fn,
    random: new Random(seed),
    name: `${kind}-${index}`,
    ...(rogue === undefined ? {} : { rogue }),
  });
  return importer.attach(dmabuf, { index, count });
}

/** Steps until one moves no data or `limit` is reached; returns the last result. */
export function steps(session: Session, count: number): StepResult {
  let last = session.step();
  for (let i = 1; i < count; i++) last = session.step();
  return last;
}

const STOP = 0;
const STEPS = 1;
const DYING = 2;

/** Words that engines and tests share: stop, steps done, task that stands still to be terminated. */
export function control(machine: Machine): { readonly stop: number; readonly steps: number; readonly dying: number } {
  const at = machine.root('test.control', 16);
  return { stop: at + STOP, steps: at + STEPS, dying: at + DYING };
}
