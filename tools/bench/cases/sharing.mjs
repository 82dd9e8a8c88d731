// Figures without a native counterpart: sharing a buffer, taking it back, moving data under stress.
import { ours } from '../lib/define.mjs';

const IMPORTERS = [1, 2, 4, 8];
const ENGINES = [1, 2];

export const tables = [
  {
    id: 'attach-cycle',
    title: 'attach + map + unmap + detach, one thread',
    package: 'core',
    goals: [],
    threads: 1,
    cases: [
      ours('dynamic importer', 'attach', 'cycle', { dynamic: true }),
      ours('static importer', 'attach', 'cycle', { dynamic: false }),
    ],
    verdicts: [],
  },
  {
    id: 'revoke-latency',
    title: 'revoke: from the start until every importer has let go',
    package: 'stress',
    goals: [],
    threads: 2,
    unit: 'us',
    reference: '1 importer',
    cases: IMPORTERS.map((importers) =>
      ours(importers === 1 ? '1 importer' : `${importers} importers`, 'stress', 'revokeLatency', { importers }),
    ),
    verdicts: [],
  },
  {
    id: 'stress-throughput',
    title: 'stress run, DMA throughput',
    package: 'stress',
    goals: [],
    threads: 2,
    reference: '1 engine',
    cases: ENGINES.map((engines) =>
      ours(engines === 1 ? '1 engine' : `${engines} engines`, 'stress', 'throughput', { engines }),
    ),
    verdicts: [],
  },
];
