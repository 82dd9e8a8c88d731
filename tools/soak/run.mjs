// Many stress runs: clean ones over several seeds, the same with kills and with allocation failures, and every kind of rogue.
//
//   node tools/soak/run.mjs [--modes clean,kill,alloc,rogue] [--seeds 1-10] [--duration 60s] [--rogue-duration 5s]
//
// A line a run; exit 0 when every clean, kill and alloc run ended with 0 and every rogue was caught, named with its rule,
// buffer and step. `npm run build` first.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ROGUE_KINDS } from '../../packages/importers/dist/index.js';

const main = fileURLToPath(new URL('../../packages/cli/dist/main.js', import.meta.url));
const { values } = parseArgs({
  options: {
    modes: { type: 'string', default: 'clean,kill,alloc,rogue' },
    seeds: { type: 'string', default: '1-10' },
    duration: { type: 'string', default: '60s' },
    'rogue-duration': { type: 'string', default: '5s' },
  },
});
const [first, last = first] = values.seeds.split('-').map(Number);
if (!(first >= 0 && last >= first)) throw new Error(`--seeds ${values.seeds}: expected N or N-M`);
const seeds = Array.from({ length: last - first + 1 }, (_, i) => first + i);

const MODES = {
  clean: [[]],
  kill: [['--faults', 'kill=2/s']],
  alloc: [['--faults', 'alloc=1%']],
  rogue: ROGUE_KINDS.map((kind) => ['--rogue', kind]),
};

function stress(options) {
  const args = [main, 'stress', ...options, '--json'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
  try {
    return { status, result: JSON.parse(stdout) };
  } catch {
    return { status, error: `exit ${status}, no document: ${stderr.slice(0, 3000)}` };
  }
}

/** What a rogue run must show: only the rogue broke rules, and each breach is told in full. */
function rogueFault({ status, result }) {
  if (status !== 1) return `exit ${status}`;
  const vague = result.violations.find((v) => !v.rule || !v.importer || !v.buffer || !v.step);
  if (vague !== undefined) return `told in part: ${JSON.stringify(vague)}`;
  const innocent = result.violations.find((v) => !v.importer.includes('rogue'));
  return innocent === undefined ? undefined : `${innocent.importer} was accused: ${innocent.text}`;
}

function cleanFault({ status, result }) {
  if (status === 0) return undefined;
  const { violations, hangs, leaks, verify } = result;
  return `exit ${status}: ${JSON.stringify(violations[0] ?? hangs[0] ?? { leaks, verify }).slice(0, 600)}`;
}

let failed = 0;
let passed = 0;
for (const mode of values.modes.split(',')) {
  if (MODES[mode] === undefined) throw new Error(`--modes ${mode}: expected some of ${Object.keys(MODES).join(', ')}`);
  for (const options of MODES[mode]) {
    for (const seed of seeds) {
      const duration = mode === 'rogue' ? values['rogue-duration'] : values.duration;
      const all = ['--duration', duration, '--seed', String(seed), ...options];
      const run = stress(all);
      const fault = run.error ?? (mode === 'rogue' ? rogueFault(run) : cleanFault(run));
      const { result } = run;
      const seen = result && [
        `${result.ops.total} ops`,
        `${result.latencyNs.revoke.count} revokes`,
        `${result.casualties.length} killed`,
        `${result.faults['allocation'] ?? 0} allocations failed`,
        `rules ${[...new Set(result.violations.map((v) => v.rule))].join('+') || 'kept'}`,
      ];
      console.log(`${fault === undefined ? 'ok  ' : 'FAIL'} stress ${all.join(' ')}: ${fault ?? seen.join(', ')}`);
      if (fault === undefined) passed++;
      else failed++;
    }
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
