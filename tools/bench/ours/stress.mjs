// Revocation latency and DMA throughput, out of stress runs. Calls runStress({ scenario }) and reads its result:
// latencyNs.revoke, bytes, ops, durationMs.
import { built } from '../lib/not-wired.mjs';
import { scaled } from '../lib/stats.mjs';

const NOTHING_HAPPENS = { revoke: 0, d3: 0, flr: 0, reset: 0, close: 0, destroy: 0, remove: 0, kill: 0, alloc: 0 };
const SECOND_MS = 1000;

async function run(part) {
  const { runStress, DEFAULT_SCENARIO } = await built('stress', ['runStress', 'DEFAULT_SCENARIO']);
  const scenario = { ...DEFAULT_SCENARIO, exporters: [{ kind: 'vfio', shared: 1, own: false, pages: 16 }], ...part };
  const result = await runStress({ scenario });
  if (result.exitCode !== 0)
    throw new Error(`the stress run ended with ${result.exitCode}: ${JSON.stringify(result.violations)}`);
  return result;
}

/** From the start of a revocation until every importer has let go; `importers` devices use the buffer all the time. */
export async function revokeLatency({ importers }) {
  const { latencyNs } = await run({
    name: 'revoke-latency',
    durationMs: Math.max(500, scaled(2 * SECOND_MS)),
    importers: [{ kind: 'odp', count: importers }],
    faults: { ...NOTHING_HAPPENS, revoke: 200 },
  });
  return { p50_us: latencyNs.revoke.p50 / 1e3, p99_us: latencyNs.revoke.p99 / 1e3, revokes: latencyNs.revoke.count };
}

/** Nothing is revoked: `engines` devices move data as fast as they can. */
export async function throughput({ engines }) {
  const { bytes, ops, durationMs } = await run({
    name: 'throughput',
    durationMs: Math.max(500, scaled(2 * SECOND_MS)),
    importers: [{ kind: 'odp', count: engines }],
    faults: NOTHING_HAPPENS,
  });
  const steps = Object.values(ops).reduce((sum, n) => sum + n, 0);
  return { MB_s: bytes / durationMs / 1e3, kops_s: steps / durationMs };
}
