// Figures without a goal: reservation objects, sharing a buffer, taking it back, moving data under stress.
import { native, ours } from '../lib/define.mjs';

const IMPORTERS = [1, 2, 4, 8];
const ENGINES = [1, 2];
const RESERVED = [1, 8, 64];

const resvTables = RESERVED.map((count) => ({
  id: `resv-${count}`,
  title: `reservation object with ${count} ${count === 1 ? 'fence' : 'fences'}: reserve and add, walk unlocked; per fence`,
  package: 'core',
  goals: [],
  threads: 1,
  unit: 'ns',
  reference: 'C',
  cases: [native('C', 'resv', [count]), ours('resv', 'resv', 'addAndWalk', { count })],
  verdicts: [],
}));

export const tables = [
  ...resvTables,
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
