import type { DiagRecord, Machine } from '@dmabuf-emu/shm';
import type { FaultLog, FaultRecord } from '@dmabuf-emu/pci-iommu';
import type { RunPlan } from '../plan/run-plan.ts';
import type { ViolationResult } from './stress-result.ts';

/** Names for what records call by number. */
export interface Names {
  /** Name of the engine on a function, by index of the function. */
  engineOn(functionIndex: number): string | undefined;
  /** Name of the engine that a task plays or played. */
  taskOf(task: number): string | undefined;
  /** The scenario's name of a buffer, by the label that the core gives it; else the label. */
  bufferOf(label: string): string;
  /** Whether the buffer with that inode number was lost with a task that was killed. */
  isLost(ino: number): boolean;
  /** The scenario's name of the buffer that a diagnostic without one came from. */
  blamed(seq: number): string | undefined;
}

/** What a fault record is judged by. */
export type JudgedFault = Pick<FaultRecord, 'kind' | 'requester'> & {
  readonly grant?: Pick<NonNullable<FaultRecord['grant']>, 'ino'>;
};

/**
 * Whether a fault record is what should happen: an iommufd importer's device that goes on is stopped by its IOMMU; and a buffer
 * whose lock died with a thread cannot be taken from its importers, who find its memory switched off.
 */
export function isByDesign(plan: RunPlan, names: Names, { kind, requester, grant }: JudgedFault): boolean {
  switch (kind) {
    case 'iommu-fault': {
      const name = names.engineOn(requester);
      return plan.engines.some((engine) => engine.name === name && engine.kind === 'iommufd');
    }
    case 'aer-ur':
    case 'aer-cto':
      return grant !== undefined && names.isLost(grant.ino);
    default:
      return false;
  }
}

/** All that is not as it should be: diagnostics and fault records, equal ones counted together. */
export function collectViolations(machine: Machine, faults: FaultLog, plan: RunPlan, names: Names): ViolationResult[] {
  const found = new Map<string, { violation: ViolationResult; count: number }>();
  const add = (violation: Omit<ViolationResult, 'count'>): void => {
    const key = [violation.rule, violation.importer, violation.buffer, violation.step].join('|');
    const known = found.get(key);
    if (known === undefined) found.set(key, { violation: { ...violation, count: 1 }, count: 1 });
    else known.count++;
  };
  for (const record of machine.diag.records()) if (record.kind !== 'info') add(ofRecord(record, names));
  for (const record of faults.list()) {
    if (!isByDesign(plan, names, record)) add(ofFault(record, names));
  }
  return [...found.values()].map(({ violation, count }) => ({ ...violation, count }));
}

function ofRecord(record: DiagRecord, names: Names): Omit<ViolationResult, 'count'> {
  const importer = record.importer ?? names.taskOf(record.task);
  const buffer = record.buffer === undefined ? names.blamed(record.seq) : names.bufferOf(record.buffer);
  const { step } = record;
  return {
    rule: record.kind === 'violation' ? record.code : `${record.kind}: ${record.code}`,
    text: record.text,
    ...(importer === undefined ? {} : { importer }),
    ...(buffer === undefined ? {} : { buffer }),
    ...(step === undefined ? {} : { step: /^\d+$/.test(step) ? `revoke step ${step}` : step }),
  };
}

function ofFault(record: FaultRecord, names: Names): Omit<ViolationResult, 'count'> {
  const engine = names.engineOn(record.requester) ?? `function ${record.requester}`;
  const { grant } = record;
  return {
    rule: record.kind,
    text: `DMA ${record.write ? 'write' : 'read'} of ${record.length} bytes at 0x${record.address.toString(16)} by ${engine}: ${record.reason}`,
    importer: engine,
    buffer: grant === undefined ? 'none' : names.bufferOf(`${grant.exporter}#${grant.ino}`),
    step: record.write ? 'dma write' : 'dma read',
  };
}

/** Kinds of faults that may be by design. */
const EXCUSABLE: readonly FaultRecord['kind'][] = ['iommu-fault', 'aer-ur', 'aer-cto'];

/** How many of them there are so far, without their texts: for progress reports. */
export function countViolations(machine: Machine, faults: FaultLog, plan: RunPlan, names: Names): number {
  const { diag } = machine;
  const diagnosed = diag.count('violation') + diag.count('lockdep') + diag.count('bug') + diag.count('warn');
  const excusable = EXCUSABLE.reduce((sum, kind) => sum + faults.count(kind), 0);
  const suspicious = faults.count() - excusable;
  if (excusable === 0) return diagnosed + suspicious;
  const strange = faults.list().filter((record) => EXCUSABLE.includes(record.kind) && !isByDesign(plan, names, record));
  return diagnosed + suspicious + strange.length;
}
