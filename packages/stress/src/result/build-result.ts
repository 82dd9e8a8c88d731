import type { PciSystem } from '@dmabuf-emu/pci-iommu';
import { isKernelError, type Machine, type VerifyReport } from '@dmabuf-emu/shm';
import type { Board } from '../board/board.ts';
import type { CounterName } from '../board/board-structs.ts';
import { type LogHistogram, summarise } from '../board/log-histogram.ts';
import type { RunPlan } from '../plan/run-plan.ts';
import { engineKinds, type Scenario } from '../scenario/scenario.ts';
import {
  EXIT_CLEAN,
  EXIT_HANG,
  EXIT_VIOLATION,
  RESULT_SCHEMA,
  type CasualtyResult,
  type ExporterResult,
  type HangResult,
  type ImporterResult,
  type LatencyResult,
  type RefusalResult,
  type StressResult,
} from './stress-result.ts';
import { collectViolations, type Names } from './violations.ts';

/** All that a result is made of. The machine must be quiet, unless it hangs. */
export interface ResultInput {
  readonly scenario: Scenario;
  readonly plan: RunPlan;
  readonly machineName: string;
  readonly machine: Machine;
  readonly pci: PciSystem;
  readonly board: Board;
  readonly names: Names;
  readonly casualties: readonly CasualtyResult[];
  readonly hangs: readonly HangResult[];
  readonly loadMs: number;
  readonly repro: string;
}

/** Counters that are an exporter's triggers, by the name they are shown under. */
const TRIGGERS: Readonly<Record<string, CounterName>> = {
  command: 'command',
  d3: 'd3',
  flr: 'flr',
  reset: 'reset',
  close: 'close',
  destroy: 'destroy',
  remove: 'remove',
};

export function buildResult(input: ResultInput): StressResult {
  const { scenario, plan, machine, pci, names, hangs, board } = input;
  // While threads are stuck in the kernel, the tables are not at rest: nothing that verify finds would mean anything.
  const verify = hangs.length > 0 ? NOT_VERIFIED : machine.verify();
  const violations = collectViolations(machine, pci.faults, plan, names);
  const roles = [...plan.controllers, ...plan.engines].map(({ role }) => board.role(role));
  const sum = (name: CounterName): number => roles.reduce((total, role) => total + role.counter(name), 0);
  const latency = (pick: (role: (typeof roles)[number]) => LogHistogram): LatencyResult => {
    const { count, p50, p99, max } = summarise(roles.map(pick));
    return { count, p50, p99, max };
  };
  const bad = violations.length > 0 || !verify.ok;
  return {
    schema: RESULT_SCHEMA,
    exitCode: hangs.length > 0 ? EXIT_HANG : bad ? EXIT_VIOLATION : EXIT_CLEAN,
    scenario: scenario.name,
    seed: scenario.seed,
    kernel: scenario.kernel,
    machine: input.machineName,
    notes: plan.notes,
    exporters: exporterResults(plan, board),
    importers: importerResults(plan, board),
    threads: engineKinds(scenario).length,
    durationMs: Math.round(input.loadMs),
    ops: operations(sum),
    bytes: sum('bytesWritten') + sum('bytesRead'),
    iotlb: iotlbCounts(plan, pci),
    faults: { ...pci.faults.counts(), ...(machine.faults.count > 0 ? { allocation: machine.faults.count } : {}) },
    latencyNs: {
      revoke: latency((role) => role.revokeNs),
      map: latency((role) => role.mapNs),
      fenceWake: latency((role) => role.fenceWakeNs),
    },
    refusals: refusalResults(plan, board),
    casualties: input.casualties,
    violations,
    leaks: leaksByKind(verify),
    verify,
    hangs,
    repro: input.repro,
  };
}

const NOT_VERIFIED: VerifyReport = {
  ok: false,
  errors: ['not verified: threads are still inside the kernel'],
  leaks: [],
  damage: [],
  counts: {},
};

/** `total` steps and how they went; everything else that was done. */
function operations(sum: (name: CounterName) => number): Record<string, number> {
  const shown: Readonly<Record<string, CounterName>> = {
    total: 'steps',
    ok: 'ok',
    revoked: 'revoked',
    faulted: 'faulted',
    nomem: 'nomem',
    dead: 'dead',
    lost: 'lost',
    refused: 'refused',
    attach: 'attaches',
    detach: 'detaches',
    map: 'maps',
    export: 'exports',
    revoke: 'revokes',
    check: 'checks',
    ...TRIGGERS,
  };
  return Object.fromEntries(Object.entries(shown).map(([name, counter]) => [name, sum(counter)]));
}

function exporterResults(plan: RunPlan, board: Board): ExporterResult[] {
  return plan.controllers.map(({ role, kind, bdf, buffers }) => {
    const record = board.role(role);
    const triggers = Object.entries(TRIGGERS).map(([name, counter]) => [name, record.counter(counter)] as const);
    return { kind, bdf, buffers: buffers.length, triggers: Object.fromEntries(triggers.filter(([, n]) => n > 0)) };
  });
}

function importerResults(plan: RunPlan, board: Board): ImporterResult[] {
  return plan.engines.map(({ role, kind, name, bdf, rogue }) => {
    const record = board.role(role);
    return {
      kind,
      name,
      bdf,
      ...(rogue === undefined ? {} : { rogue }),
      steps: record.counter('steps'),
      bytesWritten: record.counter('bytesWritten'),
      bytesRead: record.counter('bytesRead'),
      maps: record.counter('maps'),
      revoked: record.counter('revoked'),
      starts: record.starts,
    };
  });
}

function refusalResults(plan: RunPlan, board: Board): RefusalResult[] {
  const found = new Map<string, RefusalResult>();
  for (const { role, kind } of plan.engines) {
    for (const refusal of board.role(role).refusals()) {
      const key = [refusal.exporter, kind, refusal.errno, refusal.step].join('|');
      const count = (found.get(key)?.count ?? 0) + refusal.count;
      found.set(key, { ...refusal, importer: kind, count });
    }
  }
  return [...found.values()];
}

function iotlbCounts(plan: RunPlan, pci: PciSystem): { hits: number; misses: number } {
  let [hits, misses] = [0, 0];
  for (const { bdf } of plan.engines) {
    try {
      const stats = pci.function(bdf).iommu.iotlb?.stats;
      hits += stats?.hits ?? 0;
      misses += stats?.misses ?? 0;
    } catch (error) {
      // A task that was killed took the lock of the domains to its grave.
      if (!isKernelError(error, 'EOWNERDEAD')) throw error;
    }
  }
  return { hits, misses };
}

/** Leaks are listed as `KIND: what`. */
function leaksByKind({ leaks }: VerifyReport): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const leak of leaks) {
    const kind = leak.split(':', 1)[0]!;
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}
