import { existsSync } from 'node:fs';
import { builtinMachines, readMachineFile, TopologyError } from '@dmabuf-emu/pci-iommu';
import { KERNELS } from '@dmabuf-emu/shm';
import {
  DEFAULT_SCENARIO,
  InputError,
  MAX_ENGINES,
  defaultExporter,
  parseDuration,
  parseExporters,
  parseFaults,
  parseImporters,
  parseName,
  parseWhole,
  readScenarioFile,
  reproLine,
  ROGUE_KINDS,
  ValueError,
  type ImporterCount,
  type Problem,
  type Scenario,
  type StressMachine,
} from '@dmabuf-emu/stress';
import type { StressFlags } from './stress-flags.ts';

/** What a run needs. */
export interface StressInput {
  readonly scenario: Scenario;
  /** Set when the machine came from a file. */
  readonly machine?: StressMachine;
  readonly repro: string;
}

/**
 * The scenario of a command line: the file's or the default one, with the options on top.
 * @param newSeed seed when none is given.
 * @throws InputError naming every option that is wrong and what was expected.
 */
export async function readStressInput(flags: StressFlags, newSeed: () => number): Promise<StressInput> {
  const base = flags.scenario === undefined ? DEFAULT_SCENARIO : readScenarioFile(flags.scenario);
  const problems: Problem[] = [];
  const option = <T>(name: keyof StressFlags, fallback: T, parse: (text: string) => T): T => {
    const text = flags[name];
    if (typeof text !== 'string') return fallback;
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      problems.push({ where: `--${name}`, text: error.message });
      return fallback;
    }
  };
  const importers = option('importers', base.importers, parseImporters);
  const rogue = option('rogue', base.rogue, (text) => parseName('a rogue kind', ROGUE_KINDS, text));
  const scenario: Scenario = {
    ...base,
    importers: rogue === undefined ? importers : withRogue(importers),
    rogue,
    kernel: option('kernel', base.kernel, (text) => parseName('a kernel', KERNELS, text)),
    seed: option('seed', flags.scenario === undefined ? newSeed() : base.seed, (text) =>
      parseWhole(0, 0xffffffff, text),
    ),
    durationMs: option('duration', base.durationMs, parseDuration),
    ops: option('ops', flags.duration === undefined ? base.ops : undefined, (text) => parseWhole(1, 2 ** 31 - 1, text)),
    threads: option('threads', base.threads, (text) => parseWhole(1, MAX_ENGINES, text)),
    faults: option('faults', base.faults, (text) => parseFaults(text, base.faults)),
    exporters: option('exporter', base.exporters, (text) =>
      parseExporters(text).map((kind) => base.exporters.find((plan) => plan.kind === kind) ?? defaultExporter(kind)),
    ),
  };
  if (!scenario.importers.some(({ count }) => count > 0)) {
    problems.push({ where: '--importers', text: 'expected at least one importer, got none' });
  }
  const machine = readMachine(flags.machine ?? base.machine, problems);
  if (problems.length > 0) throw new InputError('', problems);
  const fromFile = machine.read === undefined ? {} : { machineFile: flags.machine ?? base.machine };
  const file = flags.scenario === undefined ? {} : { scenarioFile: flags.scenario, scenario: base };
  const named = { ...scenario, machine: machine.name };
  return {
    scenario: named,
    ...(machine.read === undefined ? {} : { machine: machine.read }),
    repro: reproLine(named, { ...file, ...fromFile }),
  };
}

function withRogue(importers: readonly ImporterCount[]): readonly ImporterCount[] {
  return importers.some(({ kind, count }) => kind === 'rogue' && count > 0)
    ? importers
    : [...importers.filter(({ kind }) => kind !== 'rogue'), { kind: 'rogue', count: 1 }];
}

/** A built-in machine by name, or one read from a file. */
function readMachine(text: string, problems: Problem[]): { name: string; read?: StressMachine } {
  const names = builtinMachines().map(({ name }) => name);
  if (names.includes(text)) return { name: text };
  if (!existsSync(text)) {
    const expected = `expected a built-in machine (${names.join(', ')}) or a file with a machine (lspci, sysfs, ...), got ${JSON.stringify(text)}`;
    problems.push({ where: '--machine', text: expected });
    return { name: text };
  }
  try {
    const read = readMachineFile(text);
    return { name: read.description.name, read };
  } catch (error) {
    if (!(error instanceof TopologyError) && !('code' in (error as object))) throw error;
    problems.push({ where: '--machine', text: `${text}: ${(error as Error).message}` });
    return { name: text };
  }
}
