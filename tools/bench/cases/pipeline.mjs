// P25, P26: a whole DMA job: submit, translate both sides, copy, signal the fence, wake the importer.
import { goal, native, ours, script } from '../lib/define.mjs';

const job = (goalId, label, sizes, atMost) => ({
  id: `dma-job-${sizes.pages * 4}KiB-${sizes.inFlight}`,
  title: `DMA job of ${label}`,
  package: 'stress',
  goals: [goalId],
  threads: 2,
  reference: 'C pipeline',
  cases: [
    native('C pipeline', 'pipeline', [sizes.pages, sizes.inFlight, sizes.jobs]),
    ours('engine', 'pipeline', 'dmaJobs', sizes),
    script(
      'a message a job, BigInt, set',
      'pipeline',
      'messages',
      { ...sizes, jobs: sizes.jobs / 10 },
      { naive: true },
    ),
  ],
  verdicts: [goal(goalId, `DMA job ${label}, p50`, 'engine', 'C pipeline', 'p50_us', { atMost })],
});

export const tables = [
  job('P25', '4 KiB', { pages: 1, inFlight: 1, jobs: 60_000 }, 1.5),
  job('P25', '64 KiB', { pages: 16, inFlight: 1, jobs: 30_000 }, 1.15),
  job('P26', '64 KiB, 32 in flight', { pages: 16, inFlight: 32, jobs: 30_000 }, 1.2),
];
