// Builds the reference programs in native/ with whatever C compiler the machine has.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { availableParallelism, arch } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCES = fileURLToPath(new URL('../native/', import.meta.url));
export const BUILD = fileURLToPath(new URL('../.build/', import.meta.url));
const BASE_FLAGS = ['-O3', '-pthread'];
const TUNED_FLAGS = ['-march=native', '-mcpu=native', null]; // the first one the compiler takes

let compiler; // undefined: not looked for yet; null: none
const built = new Map();

/** The first of $CC, cc, gcc and clang that runs: { command, version }, or null. */
export function findCompiler() {
  if (compiler !== undefined) return compiler;
  compiler = null;
  for (const command of [process.env.CC, 'cc', 'gcc', 'clang']) {
    if (!command) continue;
    const probe = spawnSync(command, ['--version'], { encoding: 'utf8' });
    if (probe.status === 0) {
      compiler = { command, version: probe.stdout.split('\n')[0].trim() };
      break;
    }
  }
  return compiler;
}

/**
 * Builds native/<name>.c, or takes it from the cache, whose key is sources, compiler and machine type.
 * @returns {{ file: string } | { reason: string }}
 */
export function buildNative(name) {
  if (!built.has(name)) built.set(name, build(name));
  return built.get(name);
}

function build(name) {
  const cc = findCompiler();
  if (cc === null) return { reason: 'no C compiler (cc, gcc or clang) on this machine' };
  const hash = createHash('sha256').update(
    `${cc.command} ${cc.version} ${arch()} ${cpuModel()} ${BASE_FLAGS} ${TUNED_FLAGS}`,
  );
  for (const header of readdirSync(SOURCES)
    .filter((f) => f.endsWith('.h'))
    .toSorted()) {
    hash.update(readFileSync(path.join(SOURCES, header)));
  }
  hash.update(readFileSync(path.join(SOURCES, `${name}.c`)));
  const file = path.join(BUILD, `${name}-${hash.digest('hex').slice(0, 12)}`);
  if (existsSync(file)) return { file };
  mkdirSync(BUILD, { recursive: true });
  for (const old of readdirSync(BUILD)) {
    if (old.startsWith(`${name}-`)) rmSync(path.join(BUILD, old), { force: true });
  }
  return compile(cc, path.join(SOURCES, `${name}.c`), file);
}

function compile(cc, source, file) {
  const partial = `${file}.${process.pid}`;
  let stderr = '';
  for (const tuned of TUNED_FLAGS) {
    const flags = tuned === null ? BASE_FLAGS : [...BASE_FLAGS, tuned];
    const result = spawnSync(cc.command, [...flags, '-o', partial, source], { encoding: 'utf8' });
    if (result.status === 0) {
      renameSync(partial, file);
      return { file };
    }
    stderr = result.stderr ?? String(result.error);
  }
  const line = stderr.split('\n').find((l) => l.includes('error')) ?? stderr.split('\n')[0];
  return { reason: `${cc.command} cannot build it: ${line.replace(/^.*?error:\s*/, '')}` };
}

function cpuModel() {
  try {
    return /model name\s*:\s*(.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
  } catch {
    return `${availableParallelism()}`;
  }
}
