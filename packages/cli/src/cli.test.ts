import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { StressResult } from '@dmabuf-emu/stress';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const RUN_MS = 60_000;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'dmabuf-emu-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(...args: string[]): SpawnSyncReturns<string> {
  const env = { ...process.env, NO_COLOR: '1' };
  return spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', timeout: RUN_MS, cwd: folder, env });
}

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe('usage', () => {
  test('help', () => {
    const { status, stdout } = run('--help');
    expect(status).toBe(0);
    expect(stdout).toContain('stress');
    const help = run('stress', '--help');
    expect(help.status).toBe(0);
    for (const option of [
      'scenario',
      'machine',
      'exporter',
      'importers',
      'threads',
      'duration',
      'ops',
      'seed',
      'faults',
    ]) {
      expect(help.stdout).toContain(`--${option}`);
    }
    expect(help.stdout).toContain('2 bad usage or input');
  });

  test.each([
    [['stress', '--sped', '5'], /unknown option '--sped'/],
    [['stress', 'now'], /too many arguments/],
    [['strss'], /unknown command 'strss'/],
    [['stress', '--seed'], /argument missing/],
    [['stress', '--importers', 'odq=1'], /--importers: expected an importer kind \(odp, .*did you mean odp\?/],
    [['stress', '--exporter', 'drm'], /--exporter: expected an exporter/],
    [['stress', '--machine', 'cray-1'], /--machine: expected a built-in machine \(genoa-4gpu, .* got "cray-1"/],
    [['stress', '--faults', 'flr=often'], /--faults: expected a rate such as 5\/s/],
    [['stress', '--duration', 'long'], /--duration: expected a duration/],
    [['stress', '--kernel', '2.4'], /--kernel: expected a kernel \(7\.1,/],
    [['stress', '--rogue', 'nice'], /--rogue: expected a rogue kind/],
    [['stress', '--threads', '0'], /--threads: expected a whole number from 1/],
    [['stress', '--seed', '-1'], /--seed: expected a whole number/],
    [['stress', '--ops', 'many'], /--ops: expected a whole number/],
    [['stress', '--scenario', 'none.yaml'], /none\.yaml: cannot be read/],
    [['stress', '--importers', 'odp=60'], /importers: expected at most \d+ importers, got 60/],
    [['trace', 'none.trace'], /ENOENT.*none\.trace/],
    [['scn'], /expected scenario files, or --replay RESULTS/],
    [['scn', 'none.scn'], /ENOENT.*none\.scn/],
    [['scn', 'none.scn', '--kernel', '2.4'], /--kernel: expected a kernel \(7\.1,.*got "2\.4"/],
    [['scn', 'none.scn', '--quirk', 'core.odd'], /--quirk: expected quirks \(.*got "core\.odd"/],
    [['scn', 'none.scn', '--jobs', '0'], /--jobs: expected a whole number from 1, got "0"/],
    [['scn', '--expect', 'a', '--replay', 'b'], /expected --expect or --replay, not both/],
  ])('%j is refused with exit code 2', (args, message) => {
    const { status, stdout, stderr } = run(...args);
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).not.toContain('    at ');
  });

  test('every wrong option is named at once', () => {
    const { stderr } = run('stress', '--seed', 'x', '--threads', 'y', '--kernel', 'z');
    expect(stderr).toMatch(/--kernel.*\n.*--seed.*\n.*--threads/);
  });
});

describe('files', () => {
  test('a scenario with mistakes: file, line, field', () => {
    const { status, stderr } = run('stress', '--scenario', file('bad.yaml', 'name: x\nfaults:\n  flr: 1/h\n'));
    expect(status).toBe(2);
    expect(stderr).toMatch(/bad\.yaml: line 3: faults\.flr: expected a rate such as .* got "1\/h"/);
  });

  test('an lspci file with mistakes: file and line', () => {
    const { status, stderr } = run('stress', '--machine', file('bad.txt', 'this is not lspci\n'));
    expect(status).toBe(2);
    expect(stderr).toMatch(/--machine: .*bad\.txt: line 1: /);
  });

  test('nothing is left behind when the input is bad', () => {
    const out = join(folder, 'never');
    expect(run('stress', '--seed', 'x', '--out', out).status).toBe(2);
    expect(run('stress', '--importers', 'odp=60', '--out', out).status).toBe(2);
    expect(existsSync(out)).toBe(false);
  });

  test('a trace file that is none', () => {
    const { status, stderr } = run('trace', file('x.trace', 'hello'));
    expect(status).toBe(2);
    expect(stderr).toContain('not a trace file');
  });
});

describe('a short run', () => {
  test(
    '--json prints the document and nothing else on stdout',
    () => {
      const { status, stdout, stderr } = run('stress', '--duration', '1500ms', '--seed', '3', '--json');
      const result = JSON.parse(stdout) as StressResult;
      expect(result).toMatchObject({
        schema: 'dmabuf-emu/stress@1',
        seed: 3,
        kernel: '7.1',
        machine: 'genoa-4gpu',
        violations: [],
        leaks: {},
        verify: { ok: true },
        repro: 'npx dmabuf-emu stress --duration 1500ms --seed 3',
      });
      expect(stderr).toBe('');
      expect(status).toBe(0);
    },
    RUN_MS,
  );

  test(
    'the summary, the folder, the trace and its conversion',
    () => {
      const out = join(folder, 'out');
      const { status, stdout, stderr } = run(
        'stress',
        '--duration',
        '2s',
        '--importers',
        'odp,gpu',
        '--seed',
        '4',
        '--out',
        out,
      );
      expect(stderr).toMatch(/ops\/s.*revokes.*violations/);
      expect(stderr).not.toContain('\u001b');
      expect(stdout).not.toContain('\u001b');
      expect(stdout).toContain('CLEAN');
      expect(stdout).toContain('npx dmabuf-emu stress --importers odp=1,gpu=1 --duration 2s --seed 4');
      expect(status).toBe(0);
      expect(JSON.parse(readFileSync(join(out, 'result.json'), 'utf8'))).toMatchObject({ seed: 4 });
      expect(readFileSync(join(out, 'summary.txt'), 'utf8')).toBe(stdout);

      const trace = join(out, 'run.trace');
      expect(run('trace', trace).stdout).toContain('stress.command:begin');
      const chrome = join(out, 'run.json');
      expect(run('trace', trace, '--chrome', chrome).status).toBe(0);
      const { traceEvents } = JSON.parse(readFileSync(chrome, 'utf8')) as {
        traceEvents: { name: string; ph: string }[];
      };
      expect(traceEvents.some(({ name, ph }) => name === 'stress.command' && ph === 'X')).toBe(true);
    },
    RUN_MS,
  );

  test(
    'a rogue: exit code 1',
    () => {
      const { status, stdout } = run(
        'stress',
        '--duration',
        '3s',
        '--rogue',
        'double-unmap',
        '--importers',
        'odp',
        '--seed',
        '5',
      );
      expect(stdout).toContain('VIOLATION');
      expect(stdout).toMatch(/double-unmap.*importer.*buffer.*step/);
      expect(status).toBe(1);
    },
    RUN_MS,
  );
});

describe('scenarios', () => {
  const text = 'scenario a\nm = memfd size=1P\nfstat fd=$m\nscenario b\nclose fd=77\n';

  test(
    'results, one a line, in the order of the file; they are as expected afterwards',
    () => {
      const scenarios = file('ok.scn', text);
      const { status, stdout } = run('scn', scenarios);
      const lines = stdout.trimEnd().split('\n');
      expect(JSON.parse(lines[0]!)).toEqual({ kernel: '7.1', machine: 'x86_64', label: 'dmabuf-emu', scenarios: 2 });
      expect(lines[2]).toBe('{"id":"b","steps":[{"op":"close","args":{"fd":"77"},"ret":-1,"errno":"EBADF"}]}');
      expect(status).toBe(0);
      const again = run('scn', scenarios, '--expect', file('ok.jsonl', stdout), '--json');
      const report = JSON.parse(again.stdout.trimEnd().split('\n').at(-1)!) as unknown;
      expect(report).toEqual({
        schema: 'dmabuf-emu/scn@1',
        kernel: '7.1',
        profile: '7.1',
        total: 2,
        same: 2,
        documented: 0,
        different: 0,
        outOfScope: 0,
        differences: [],
      });
      expect(again.status).toBe(0);
    },
    RUN_MS,
  );

  test(
    'differences are shown step by step: exit code 1',
    () => {
      const results = file(
        'differ.jsonl',
        '{"kernel":"7.3.4"}\n' +
          '{"id":"a","steps":[{"op":"memfd","as":"m","args":{"size":"1P"},"ret":-1,"errno":"ENOMEM"}]}\n' +
          '{"id":"vfio.a","steps":[{"op":"vfio_reset","args":{"fd":"1"},"ret":0}]}\n',
      );
      const { status, stdout } = run('scn', '--replay', results);
      expect(stdout).toContain('a step 1: m = memfd size=1P');
      expect(stdout).toContain('ret: expected -1, got "fd"');
      expect(stdout).toContain('errno: expected "ENOMEM", got nothing');
      expect(stdout).toContain(
        '2 scenarios recorded on Linux 7.3.4, run as 7.1: 0 same, 0 documented, 1 different, 1 out of scope',
      );
      expect(status).toBe(1);
    },
    RUN_MS,
  );

  test(
    'a malformed file: line, and what was expected; nothing runs',
    () => {
      const { status, stdout, stderr } = run('scn', file('bad.scn', 'scenario a\nm = memfd size=1X\n'));
      expect(stderr).toMatch(/bad\.scn: line 2: a: memfd: expected a number, a \$variable or a symbol .*got '1X'/);
      expect(stdout).not.toContain('"id"');
      expect(status).toBe(2);
    },
    RUN_MS,
  );
});

test('docs/quirks.md lists the quirks of all packages', () => {
  const tool = fileURLToPath(new URL('../../../tools/quirks-table.mjs', import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, [tool, '--check'], { encoding: 'utf8', timeout: RUN_MS });
  expect(stderr).toBe('');
  expect(status).toBe(0);
});
