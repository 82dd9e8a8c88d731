// Figures without a goal: reservation objects, polling and merging of fences, sharing a buffer, taking it back, moving data under stress.
import { native, ours, script } from '../lib/define.mjs';

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

const pollTables = [1, 16].map((count) => ({
  id: `poll-${count}`,
  title: `poll of ${count} ${count === 1 ? 'file' : 'files'}, timeout 0: all ready, none ready`,
  package: 'core',
  goals: [],
  threads: 1,
  unit: 'ns',
  reference: 'bare loop over the state words',
  cases: [
    script('bare loop over the state words', 'ready', 'stateWords', { count }),
    ours('sync_files', 'ready', 'poll', { count, kind: 'sync_file' }),
    ours('dma-bufs', 'ready', 'poll', { count, kind: 'buffer' }),
  ],
  verdicts: [],
}));

const FENCES = 16;

export const tables = [
  ...resvTables,
  ...pollTables,
  {
    id: 'sync-file-merge',
    title: `merge two sync_files of ${FENCES} fences and close the result: half of the timelines in common, none`,
    package: 'core',
    goals: [],
    threads: 1,
    unit: 'ns',
    reference: 'bare merge of sorted arrays',
    cases: [
      script('bare merge of sorted arrays', 'ready', 'mergeArrays', { fences: FENCES }),
      ours('SyncFile.merge', 'ready', 'merge', { fences: FENCES }),
    ],
    verdicts: [],
  },
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
