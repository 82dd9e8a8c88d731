// P1-P4: from a signal on one thread to the first instruction of the waiter on another.
import { goal, native, ours, script } from '../lib/define.mjs';

export const tables = [
  {
    id: 'wake-parked',
    title: 'wake a thread that has parked, two cores, one way',
    package: 'shm',
    goals: ['P1', 'P2'],
    threads: 2,
    unit: 'us',
    minRounds: 7,
    reference: 'raw Atomics.wait/notify',
    cases: [
      script('raw Atomics.wait/notify', 'wake', 'parkedWake', { rounds: 2500 }),
      ours('Completion', 'wake', 'parkedWake', { rounds: 2500 }),
      native('C futex', 'wake', ['cold', 'futex', 2500]),
    ],
    verdicts: [
      goal('P1', 'wake parked, p50', 'Completion', 'raw Atomics.wait/notify', 'p50_us', { atMost: 1.1 }),
      goal(
        'P2',
        'wake parked, p99',
        'Completion',
        'raw Atomics.wait/notify',
        'p99_us',
        { atMost: 1.25 },
        { p99OfTwoThreads: true },
      ),
    ],
  },
  {
    id: 'wake-spinning',
    title: 'round trip between two threads that spin before they park',
    package: 'shm',
    goals: ['P3'],
    threads: 2,
    unit: 'us',
    minRounds: 7,
    reference: 'C spin',
    cases: [
      native('C spin', 'wake', ['ping-pong', 'spin', 240_000]),
      ours('Completion', 'wake', 'pingPong', { rounds: 60_000 }),
      script('bare Atomics, never parks, nothing to take', 'wake', 'spinPingPong', { rounds: 60_000 }),
      script('raw Atomics.wait/notify, no spin', 'wake', 'pingPong', { rounds: 15_000 }),
      script('MessagePort', 'wake', 'messagePort', { rounds: 5_000 }, { naive: true }),
    ],
    verdicts: [goal('P3', 'wake spinning, p50', 'Completion', 'C spin', 'p50_us', { atMost: 1.6 })],
  },
  {
    id: 'wake-main-thread',
    title: 'round trip between a main thread that must not block and a worker, one core',
    package: 'shm',
    goals: ['P4'],
    threads: 1,
    unit: 'us',
    reference: 'raw Atomics.wait ping-pong',
    cases: [
      script('raw Atomics.wait ping-pong', 'wake', 'pingPong', { rounds: 15_000 }, { oneCore: true }),
      ours('Completion.waitAsync', 'wake', 'waitAsync', { rounds: 10_000 }, { oneCore: true }),
      script('raw Atomics.waitAsync', 'wake', 'waitAsync', { rounds: 10_000 }, { oneCore: true }),
      script('MessagePort', 'wake', 'messagePort', { rounds: 5_000 }, { oneCore: true, naive: true }),
    ],
    verdicts: [
      goal('P4', 'main thread waits, one core, p50', 'Completion.waitAsync', 'raw Atomics.wait ping-pong', 'p50_us', {
        atMost: 1.8,
      }),
    ],
  },
];
