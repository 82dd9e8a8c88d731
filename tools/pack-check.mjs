// node tools/pack-check.mjs packages/NAME: packs the package and the workspace packages it needs, installs the tarballs
// in an empty project outside the workspace and runs the README's example there (the first block fenced as ```js example).
// A package with a bin must also answer `--help` with exit status 0.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const EXAMPLE_TIMEOUT_MS = 120_000;
const packages = fileURLToPath(new URL('../packages/', import.meta.url));

function manifest(folder) {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
}

/** Folders of the package and of every workspace package it depends on. */
function closure(folder, byName, seen = new Set()) {
  if (seen.has(folder)) return seen;
  seen.add(folder);
  for (const name of Object.keys(manifest(folder).dependencies ?? {})) {
    if (byName.has(name)) closure(byName.get(name), byName, seen);
  }
  return seen;
}

function run(command, args, cwd, timeout) {
  const shell = process.platform === 'win32' && command !== process.execPath;
  const { status, signal, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8', timeout, shell });
  if (status !== 0) {
    throw new Error(
      `${command} ${args.join(' ')}: ${error?.message ?? `exit ${status ?? signal}`}\n${stdout}${stderr}`,
    );
  }
  return stdout;
}

function example(folder) {
  const text = readFileSync(join(folder, 'README.md'), 'utf8');
  const code = /^```js example\r?\n(.*?)^```/ms.exec(text)?.[1];
  if (code === undefined) throw new Error(`${folder}/README.md has no block fenced as \`\`\`js example`);
  return code;
}

/** Packed dist files without a source file: tsc leaves them when a source is renamed or removed. */
function staleFiles(report, folder) {
  return report.files
    .map((file) => file.path)
    .filter(
      (path) => /^dist\/.*\.js$/.test(path) && !existsSync(join(folder, path.replace(/^dist\/(.*)\.js$/, 'src/$1.ts'))),
    )
    .map((path) => `${report.name}/${path}`);
}

function check(folder, temp) {
  const byName = new Map(
    readdirSync(packages, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && readdirSync(packages + entry.name).includes('package.json'))
      .map((entry) => [manifest(packages + entry.name).name, resolve(packages, entry.name)]),
  );
  const folders = [...closure(folder, byName)];
  const packed = JSON.parse(
    run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', temp, ...folders], temp),
  );
  const reports = Array.isArray(packed) ? packed : Object.values(packed);
  const stale = reports.flatMap((p) => staleFiles(p, byName.get(p.name)));
  if (stale.length > 0) throw new Error(`built from sources that are gone (remove dist): ${stale.join(', ')}`);
  const stray = reports
    .flatMap((p) => p.files.map((f) => f.path))
    .filter((path) => /\.(test|test-worker|fixture)\.|tsbuildinfo$/.test(path));
  if (stray.length > 0) throw new Error(`test files in the package: ${stray.join(', ')}`);

  const dependencies = Object.fromEntries(reports.map((p) => [p.name, `file:./${p.filename}`]));
  writeFileSync(join(temp, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies }));
  writeFileSync(join(temp, 'example.js'), example(folder));
  run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'], temp);
  process.stdout.write(run(process.execPath, ['example.js'], temp, EXAMPLE_TIMEOUT_MS));

  const { name, bin = {} } = manifest(folder);
  for (const command of Object.keys(bin))
    run(join(temp, 'node_modules', '.bin', command), ['--help'], temp, EXAMPLE_TIMEOUT_MS);
  const own = reports.find((p) => p.name === name);
  console.log(`${name}: ${own.files.length} files, ${own.size} bytes packed; installed and ran its example`);
}

const temp = mkdtempSync(join(realpathSync(tmpdir()), 'dmabuf-emu-pack-'));
try {
  check(resolve(process.argv[2]), temp);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  rmSync(temp, { recursive: true, force: true });
}
