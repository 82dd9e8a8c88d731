import { readFile } from 'node:fs/promises';
import { KERNELS, type KernelProfile, UsageError } from '@dmabuf-emu/shm';
import {
  ALL_QUIRKS,
  type KernelChoice,
  parseScn,
  readResults,
  type Recording,
  type Scenario,
  scenarioOf,
} from '@dmabuf-emu/uapi';
import type { ScnFlags } from './scn-flags.ts';

/** What `scn` is to do. */
export interface ScnInput {
  readonly scenarios: readonly Scenario[];
  /** What to compare with. */
  readonly recording: Recording | undefined;
  readonly choice: KernelChoice & { readonly jobs?: number };
}

/** Reads files and options. @throws UsageError, ScnError naming option, or file and line, and what was expected */
export async function readScnInput(files: readonly string[], flags: ScnFlags): Promise<ScnInput> {
  const { expect, replay, filter = '' } = flags;
  if (expect !== undefined && replay !== undefined) throw new UsageError('expected --expect or --replay, not both');
  if (files.length === 0 && replay === undefined) throw new UsageError('expected scenario files, or --replay RESULTS');
  const choice = readChoice(flags);
  const results = expect ?? replay;
  const recording = results === undefined ? undefined : readResults(await readFile(results), results);
  const given = (await Promise.all(files.map(async (file) => parseScn(await readFile(file, 'latin1'), file)))).flat();
  const replayed = replay === undefined ? [] : recording!.results.map((result) => scenarioOf(result, replay));
  const scenarios = [...given, ...replayed].filter(({ id }) => id.startsWith(filter));
  if (scenarios.length === 0) throw new UsageError(`expected at least one scenario, found none named ${filter}*`);
  return { scenarios, recording, choice };
}

function readChoice({ kernel, quirk, jobs }: ScnFlags): ScnInput['choice'] {
  if (!KERNELS.includes(kernel as KernelProfile)) {
    throw new UsageError(`--kernel: expected a kernel (${KERNELS.join(', ')}), got "${kernel}"`);
  }
  const quirks = quirk?.split(',') ?? [];
  const unknown = quirks.find((name) => ALL_QUIRKS[name] === undefined);
  if (unknown !== undefined) {
    throw new UsageError(`--quirk: expected quirks (${Object.keys(ALL_QUIRKS).join(', ')}), got "${unknown}"`);
  }
  const count = Number(jobs ?? 1);
  if (!Number.isInteger(count) || count < 1) {
    throw new UsageError(`--jobs: expected a whole number from 1, got "${jobs}"`);
  }
  return { kernel: kernel as KernelProfile, quirks, ...(jobs === undefined ? {} : { jobs: count }) };
}
