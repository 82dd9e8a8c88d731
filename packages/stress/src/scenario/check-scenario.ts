import { KERNELS } from '@dmabuf-emu/shm';
import { DEFAULT_SCENARIO, defaultExporter } from './default-scenario.ts';
import { MAX_ENGINES, parseDuration, parseName, parseRate, parseWhole, ValueError } from './parse-values.ts';
import { shown, suggestion, type Problem } from './problem.ts';
import {
  ACS_MODES,
  EXPORTER_KINDS,
  FAULT_KINDS,
  IMPORTER_KINDS,
  ROGUE_KINDS,
  SCENARIO_SCHEMA,
  type ExporterKind,
  type ExporterPlan,
  type FaultRates,
  type ImporterCount,
  type Scenario,
} from './scenario.ts';

export const MAX_SHARED_BUFFERS = 8;
export const MAX_PAGES = 4096;

const FIELDS = [
  'schema',
  'name',
  'machine',
  'acs',
  'kernel',
  'seed',
  'duration',
  'ops',
  'exporters',
  'importers',
  'threads',
  'rogue',
  'faults',
] as const;

/** A path into the document: field names and list positions. */
export type Path = readonly (string | number)[];

/** Where and what: turned into a {@link Problem} by whoever knows lines. */
export interface Finding {
  readonly path: Path;
  readonly text: string;
}

/** Field path for a message. */
export function pathText(path: Path): string {
  return path.map((part, i) => (typeof part === 'number' ? `[${part}]` : i === 0 ? part : `.${part}`)).join('');
}

/** Checks a whole document; every problem is found, not only the first. */
export function checkScenario(document: unknown): { scenario: Scenario; findings: readonly Finding[] } {
  const check = new Check();
  const d = check.object(document, [], FIELDS);
  const field = <T>(name: (typeof FIELDS)[number], fallback: T, parse: (value: unknown) => T): T =>
    d[name] === undefined ? fallback : check.value([name], fallback, () => parse(d[name]));
  const base = DEFAULT_SCENARIO;
  field('schema', '', (v) => parseName('the schema', [SCENARIO_SCHEMA], v));
  const scenario: Scenario = {
    name: field('name', 'unnamed', text),
    machine: field('machine', base.machine, text),
    acs: field('acs', base.acs, (v) => parseName('an ACS mode', ACS_MODES, v)),
    kernel: field('kernel', base.kernel, (v) => parseName('a kernel in quotes', KERNELS, v)),
    seed: field('seed', base.seed, (v) => parseWhole(0, 0xffffffff, v)),
    durationMs: field('duration', base.durationMs, parseDuration),
    ops: field('ops', base.ops, (v) => parseWhole(1, 1e12, v)),
    exporters: d['exporters'] === undefined ? base.exporters : exporters(check, d['exporters']),
    importers: d['importers'] === undefined ? base.importers : importers(check, d['importers']),
    threads: field('threads', base.threads, (v) => parseWhole(1, MAX_ENGINES, v)),
    rogue: field('rogue', base.rogue, (v) => parseName('a rogue kind', ROGUE_KINDS, v)),
    faults: d['faults'] === undefined ? base.faults : faults(check, d['faults']),
  };
  if (scenario.exporters.length === 0) check.fail(['exporters'], 'expected at least one exporter, got none');
  const engines = scenario.importers.reduce((sum, { count }) => sum + count, 0);
  if (engines === 0) check.fail(['importers'], 'expected at least one importer, got none');
  if (engines > MAX_ENGINES) check.fail(['importers'], `expected at most ${MAX_ENGINES} importers, got ${engines}`);
  return { scenario, findings: check.findings };
}

function exporters(check: Check, value: unknown): ExporterPlan[] {
  if (Array.isArray(value)) {
    return value.map((kind, i) =>
      defaultExporter(check.value(['exporters', i], 'vfio', () => parseName('an exporter', EXPORTER_KINDS, kind))),
    );
  }
  const given = check.object(value, ['exporters'], EXPORTER_KINDS);
  return (Object.keys(given) as ExporterKind[]).map((kind) => {
    const base = defaultExporter(kind);
    const path = ['exporters', kind];
    const d = check.object(given[kind] ?? {}, path, ['shared', 'own', 'pages']);
    const whole = (name: string, least: number, most: number, fallback: number): number =>
      d[name] === undefined ? fallback : check.value([...path, name], fallback, () => parseWhole(least, most, d[name]));
    return {
      kind,
      shared: whole('shared', 0, MAX_SHARED_BUFFERS, base.shared),
      own: d['own'] === undefined ? base.own : check.value([...path, 'own'], base.own, () => flag(d['own'])),
      pages: whole('pages', 1, MAX_PAGES, base.pages),
    };
  });
}

function importers(check: Check, value: unknown): ImporterCount[] {
  const given = check.object(value, ['importers'], IMPORTER_KINDS);
  return IMPORTER_KINDS.filter((kind) => given[kind] !== undefined).map((kind) => ({
    kind,
    count: check.value(['importers', kind], 0, () => parseWhole(0, MAX_ENGINES, given[kind])),
  }));
}

function faults(check: Check, value: unknown): FaultRates {
  const given = check.object(value, ['faults'], FAULT_KINDS);
  return Object.fromEntries(
    FAULT_KINDS.map((kind) => {
      const fallback = DEFAULT_SCENARIO.faults[kind];
      if (given[kind] === undefined) return [kind, fallback];
      return [kind, check.value(['faults', kind], fallback, () => parseRate(kind, given[kind]))];
    }),
  ) as unknown as FaultRates;
}

function text(value: unknown): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new ValueError('a text', value);
}

function flag(value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw new ValueError('true or false', value);
}

/** Collects findings instead of stopping at the first. */
class Check {
  readonly findings: Finding[] = [];

  fail(path: Path, problem: string): void {
    this.findings.push({ path, text: problem });
  }

  value<T>(path: Path, fallback: T, parse: () => T): T {
    try {
      return parse();
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      this.fail(path, error.message);
      return fallback;
    }
  }

  object(value: unknown, path: Path, fields: readonly string[]): Record<string, unknown> {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.fail(path, `expected an object with ${fields.join(', ')}, got ${shown(value)}`);
      return {};
    }
    const known: Record<string, unknown> = {};
    for (const [name, field] of Object.entries(value)) {
      if (fields.includes(name)) known[name] = field;
      else this.fail([...path, name], `unknown field, expected one of ${fields.join(', ')}${suggestion(name, fields)}`);
    }
    return known;
  }
}

/** Findings as problems, for documents without lines. */
export function toProblems(findings: readonly Finding[]): Problem[] {
  return findings.map(({ path, text: problem }) => ({ where: pathText(path), text: problem }));
}
