import type { ExporterKind, ExporterPlan, FaultRates, Scenario } from './scenario.ts';

/** What happens by itself unless a scenario says otherwise. */
export const DEFAULT_FAULTS: FaultRates = {
  revoke: 20,
  d3: 2,
  flr: 2,
  reset: 2,
  close: 1,
  destroy: 4,
  remove: 1,
  kill: 0,
  alloc: 0,
};

export function defaultExporter(kind: ExporterKind): ExporterPlan {
  return { kind, shared: 1, own: true, pages: 16 };
}

/**
 * Both exporters on a server; importers of every kind on one shared buffer and on buffers of their own. `pinned` and `static`
 * are there to be refused.
 */
export const DEFAULT_SCENARIO: Scenario = {
  name: 'default',
  machine: 'genoa-4gpu',
  acs: 'direct',
  kernel: '7.1',
  seed: 1,
  durationMs: 10_000,
  ops: undefined,
  exporters: [defaultExporter('vfio'), defaultExporter('rdma')],
  importers: [
    { kind: 'odp', count: 1 },
    { kind: 'gpu', count: 2 },
    { kind: 'revocable-pinned', count: 1 },
    { kind: 'iommufd', count: 1 },
    { kind: 'pinned', count: 1 },
    { kind: 'static', count: 1 },
  ],
  threads: undefined,
  rogue: undefined,
  faults: DEFAULT_FAULTS,
};

/** The importers that run when nobody asks for any. */
export function isDefaultCrew({ importers, threads }: Scenario): boolean {
  return threads === undefined && JSON.stringify(importers) === JSON.stringify(DEFAULT_SCENARIO.importers);
}

/** The exporters and importers that run when nobody asks for any: they fit themselves to the machine. */
export function isDefaultLoad(scenario: Scenario): boolean {
  return isDefaultCrew(scenario) && JSON.stringify(scenario.exporters) === JSON.stringify(DEFAULT_SCENARIO.exporters);
}
