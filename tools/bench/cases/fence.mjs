// P9-P11: the life of a fence: create, publish in a reservation slot, signal, check, drop two references, free.
import { goal, native, ours, script } from '../lib/define.mjs';

export const tables = [
  {
    id: 'fence-life',
    title: 'fence life cycle, one thread; machine without debugObjects, lockdep and trace',
    package: 'core',
    goals: ['P9'],
    threads: 1,
    reference: 'C, 32 B a fence',
    cases: [
      native('C, 32 B a fence', 'fence', ['own', 1]),
      ours('fence', 'fence', 'own', { threads: 1 }),
      script('bare Atomics, same layout', 'fence', 'own', { threads: 1 }),
    ],
    // CPU time: a process that runs longer suffers more from what else the machine does.
    verdicts: [goal('P9', 'fence life cycle', 'fence', 'C, 32 B a fence', 'cpu_ns', { atMost: 1.25 })],
  },
  {
    id: 'fence-life-clock',
    title: 'the same, the clock read for every signal',
    package: 'core',
    goals: [],
    threads: 1,
    reference: 'C, 32 B a fence, clock_gettime',
    cases: [
      native('C, 32 B a fence, clock_gettime', 'fence', ['own', 1, 'clock']),
      ours('fence', 'fence', 'own', { threads: 1, readClock: true }),
    ],
    verdicts: [],
  },
  {
    id: 'fence-two-threads',
    title: 'fence life cycles, two threads with their own fences',
    package: 'core',
    goals: ['P10'],
    threads: 2,
    reference: 'fence, 1 thread',
    cases: [
      ours('fence, 1 thread', 'fence', 'own', { threads: 1 }),
      ours('fence, 2 threads', 'fence', 'own', { threads: 2 }),
      script('bare Atomics, 1 thread', 'fence', 'own', { threads: 1 }),
      script('bare Atomics, 2 threads', 'fence', 'own', { threads: 2 }),
      native('C, 1 thread', 'fence', ['own', 1]),
      native('C, 2 threads', 'fence', ['own', 2]),
    ],
    verdicts: [
      goal('P10', 'fences, 2 threads / 1 thread', 'fence, 2 threads', 'fence, 1 thread', 'Mcycles_s', { atLeast: 1.8 }),
    ],
  },
  {
    id: 'fence-crossing',
    title: 'fences created on one thread, signalled and freed on another',
    package: 'core',
    goals: ['P11'],
    threads: 2,
    unit: 'million a second',
    reference: 'C, 32 B a fence',
    cases: [
      native('C, 32 B a fence', 'fence', ['crossing']),
      ours('fence', 'fence', 'crossing'),
      script('bare Atomics, same layout', 'fence', 'crossing'),
    ],
    verdicts: [goal('P11', 'fences crossing cores', 'fence', 'C, 32 B a fence', 'Mcycles_s', { atLeast: 0.75 })],
  },
];
