import { DEFAULT_SCENARIO } from '../scenario/default-scenario.ts';
import { FAULT_KINDS, type FaultKind, type Scenario } from '../scenario/scenario.ts';

/** Where a scenario came from: only what differs from it must be said again. */
export interface ReproBase {
  /** The scenario file, when there was one. */
  readonly scenarioFile?: string;
  /** What it said; the default scenario without a file. */
  readonly scenario?: Scenario;
  /** lspci file of the machine, when it is not a built-in one. */
  readonly machineFile?: string;
}

/** The command that runs a scenario again, seed included. */
export function reproLine(scenario: Scenario, from: ReproBase = {}): string {
  const base = from.scenario ?? DEFAULT_SCENARIO;
  const parts = ['npx dmabuf-emu stress'];
  const add = (option: string, value: string | number): void => void parts.push(`--${option} ${quoted(String(value))}`);
  if (from.scenarioFile !== undefined) add('scenario', from.scenarioFile);
  if (from.machineFile !== undefined) add('machine', from.machineFile);
  else if (scenario.machine !== base.machine) add('machine', scenario.machine);
  if (scenario.kernel !== base.kernel) add('kernel', scenario.kernel);
  const exporters = scenario.exporters.map(({ kind }) => kind).join(',');
  if (exporters !== base.exporters.map(({ kind }) => kind).join(',')) add('exporter', exporters);
  const importers = importersText(scenario);
  if (importers !== importersText(base)) add('importers', importers);
  if (scenario.rogue !== undefined && scenario.rogue !== base.rogue) add('rogue', scenario.rogue);
  if (scenario.threads !== undefined && scenario.threads !== base.threads) add('threads', scenario.threads);
  if (scenario.ops !== undefined) add('ops', scenario.ops);
  else if (scenario.durationMs !== base.durationMs) add('duration', durationText(scenario.durationMs));
  const changed = FAULT_KINDS.filter((kind) => scenario.faults[kind] !== base.faults[kind]);
  if (changed.length > 0)
    add('faults', changed.map((kind) => `${kind}=${rateText(kind, scenario.faults[kind])}`).join(','));
  add('seed', scenario.seed);
  return parts.join(' ');
}

function importersText({ importers }: Scenario): string {
  return importers.map(({ kind, count }) => `${kind}=${count}`).join(',');
}

function rateText(kind: FaultKind, rate: number): string {
  return kind === 'alloc' ? String(rate) : `${rate}/s`;
}

function durationText(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}

function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
