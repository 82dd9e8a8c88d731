import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const root = fileURLToPath(new URL('.', import.meta.url));
const packages = `${root}packages/`;

// DMABUF_EMU_SOURCE=1: the tests' own thread loads every package from src/ (watching, mutation runs).
// Otherwise, and in worker threads always, packages are loaded built, from dist/.
// DMABUF_EMU_RUNS_FACTOR=N: properties are tried N times as often as usual, and have N times as long for it.
const factor = Number(process.env['DMABUF_EMU_RUNS_FACTOR'] ?? 1);
const source = process.env['DMABUF_EMU_SOURCE'] === '1';
const coverage = process.argv.some((arg) => arg.startsWith('--coverage'));
const sourceOf = (folder: string) => [
  { find: /^@dmabuf-emu\/([^/]+)$/, replacement: `${packages}$1/src/index.ts` },
  { find: /^@dmabuf-emu\/([^/]+)\/([^/.]+)$/, replacement: `${packages}$1/src/$2.ts` },
  { find: /^#dist\/(.+)\.js$/, replacement: `${folder}/src/$1.ts` },
];

const folders = readdirSync(packages)
  .map((dir) => packages + dir)
  .filter((folder) => existsSync(`${folder}/package.json`));
const nameOf = (folder: string): string => JSON.parse(readFileSync(`${folder}/package.json`, 'utf8')).name;

export default defineConfig({
  test: {
    pool: 'forks',
    execArgv: source ? [] : ['--expose-gc'],
    maxWorkers: 2,
    testTimeout: 60_000 * factor,
    // Built packages are loaded by Node itself, untransformed, as a user's program loads them (but vitest counts the
    // coverage only of what it loads).
    server: { deps: { external: coverage ? [] : [/\/packages\/[^/]+\/dist\//] } },
    coverage: { provider: 'v8', include: ['packages/*/src/**', 'packages/*/dist/**/*.js'] },
    projects: [
      ...folders.map((folder) => ({
        extends: true as const,
        resolve: { alias: source ? sourceOf(folder) : [] },
        test: { name: nameOf(folder), root: folder, include: ['src/**/*.test.ts'] },
      })),
      { extends: true as const, test: { name: 'tools', root: `${root}tools`, include: ['**/*.test.ts'] } },
    ],
  },
});
