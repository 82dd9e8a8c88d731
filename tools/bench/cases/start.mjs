// P29, P30: starting up.
import { goal, ours, script } from '../lib/define.mjs';

export const tables = [
  {
    id: 'cli-start',
    title: 'command line, start to first output and to end of --help',
    package: 'cli',
    goals: ['P29'],
    threads: 1,
    unit: 'ms',
    reference: 'empty script',
    cases: [
      script('empty script', 'start', 'emptyScript'),
      ours('dmabuf-emu --help', 'start', 'commandLine', { args: ['--help'] }),
      ours('dmabuf-emu stress --help', 'start', 'commandLine', { args: ['stress', '--help'] }),
    ],
    verdicts: [
      goal('P29', 'CLI start to first output', 'dmabuf-emu --help', 'empty script', 'first_output_ms', { atMost: 1.3 }),
    ],
  },
  {
    id: 'workers-ready',
    title: 'eight workers that have joined the machine',
    package: 'shm',
    goals: ['P30'],
    threads: 2,
    unit: 'ms',
    reference: '1 worker',
    cases: [
      ours('1 worker', 'start', 'workersReady', { workers: 1 }),
      ours('8 workers', 'start', 'workersReady', { workers: 8 }),
      script('1 worker that imports nothing', 'start', 'bareWorkers', { workers: 1 }),
      script('8 workers that import nothing', 'start', 'bareWorkers', { workers: 8 }),
    ],
    verdicts: [goal('P30', '8 workers ready / 1 worker ready', '8 workers', '1 worker', 'ready_ms', { atMost: 5 })],
  },
];
