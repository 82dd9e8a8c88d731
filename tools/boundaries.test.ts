import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Who may import whom. Folders without a package yet have their rule already. */
const kernel = ['shm', 'core', 'pci-iommu'];
const drivers = ['exporter-vfio', 'exporter-rdma', 'exporter-heap', 'exporter-gpu', 'importers'];
const table: Record<string, string[]> = {
  shm: [],
  core: ['shm'],
  'pci-iommu': ['shm', 'core'],
  ...Object.fromEntries(drivers.map((driver) => [driver, kernel])),
  uapi: [...kernel, ...drivers],
  trace: ['shm'],
  stress: [...kernel, ...drivers, 'uapi', 'trace'],
  cli: [...kernel, ...drivers, 'uapi', 'trace', 'stress'],
};
const folders = Object.keys(table);
const npmName = (folder: string): string => (folder === 'cli' ? 'dmabuf-emu' : `@dmabuf-emu/${folder}`);

interface Diagnostic {
  readonly code: string;
  readonly filename: string;
}

const temp = mkdtempSync(join(tmpdir(), 'dmabuf-emu-boundaries-'));
let reported: Set<string>;

/** A key for one planted file and the rule that reported it. */
const key = (file: string, rule: string): string => `${file} ${rule}`;

function plant(file: string, text: string): void {
  const path = join(temp, file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

beforeAll(() => {
  cpSync(join(root, '.oxlintrc.json'), join(temp, '.oxlintrc.json'));
  for (const folder of folders) {
    for (const target of folders) {
      plant(`packages/${folder}/src/by-name/${target}.ts`, `export * from '${npmName(target)}';\n`);
      plant(`packages/${folder}/src/by-name/${target}.test.ts`, `export * from '${npmName(target)}';\n`);
      plant(`packages/${folder}/src/sub-path/${target}.ts`, `export * from '${npmName(target)}/testing';\n`);
      plant(`packages/${folder}/src/relative/${target}.ts`, `export * from '../../../${target}/src/index.ts';\n`);
    }
    plant(`packages/${folder}/src/private.ts`, `export * from '#dist/internal/x.js';\n`);
    plant(`packages/${folder}/src/private.test.ts`, `export * from '#dist/internal/x.js';\n`);
    plant(`packages/${folder}/src/atomics.ts`, 'export const x = Atomics.load(new Int32Array(1), 0);\n');
    plant(`packages/${folder}/src/console.ts`, "console.log('x');\nexport const x = 1;\n");
    plant(`packages/${folder}/src/clock.ts`, 'export const x = Date.now() + Math.random();\n');
    plant(`packages/${folder}/src/default.ts`, 'export default 1;\n');
  }
  const oxlint = join(root, 'node_modules/oxlint/bin/oxlint');
  const { stdout } = spawnSync(process.execPath, [oxlint, '--format', 'json', '.'], {
    cwd: temp,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    timeout: 15_000,
  });
  const { diagnostics } = JSON.parse(stdout) as { diagnostics: Diagnostic[] };
  reported = new Set(diagnostics.map((d) => key(d.filename, d.code.replace(/^.*\((.*)\)$/, '$1'))));
});

afterAll(() => {
  rmSync(temp, { recursive: true, force: true });
});

describe.each(folders)('%s', (folder) => {
  const allowed = table[folder]!;
  const importedFrom = (place: string, suffix = '.ts'): string[] =>
    folders.filter(
      (target) => !reported.has(key(`packages/${folder}/src/${place}/${target}${suffix}`, 'no-restricted-imports')),
    );
  const allows = (file: string, rule: string): boolean => !reported.has(key(`packages/${folder}/src/${file}`, rule));

  test('imports only the packages below it, by name', () => {
    expect(importedFrom('by-name').toSorted()).toEqual(allowed.toSorted());
    expect(importedFrom('sub-path').toSorted()).toEqual(allowed.toSorted());
    expect(importedFrom('relative')).toEqual([]);
  });

  test('may be imported by its own tests, which also reach its private modules', () => {
    expect(importedFrom('by-name', '.test.ts').toSorted()).toEqual([...allowed, folder].toSorted());
    expect(allows('private.test.ts', 'no-restricted-imports')).toBe(true);
    expect(allows('private.ts', 'no-restricted-imports')).toBe(false);
  });

  test('uses Atomics, the console, clocks and default exports only where the design allows it', () => {
    expect(allows('atomics.ts', 'no-restricted-globals')).toBe(folder === 'shm');
    expect(allows('console.ts', 'no-console')).toBe(folder === 'cli');
    expect(allows('clock.ts', 'no-restricted-properties')).toBe(['shm', 'trace', 'stress', 'cli'].includes(folder));
    expect(allows('default.ts', 'no-default-export')).toBe(false);
  });
});
