// P5, P6: mutexes. P7, P8: transactions over several ww_mutexes.
import { goal, native, ours, script } from '../lib/define.mjs';

const woundWait = (goalId, threads, locks, atLeast) => ({
  id: `ww-${locks}-${threads}`,
  title: `wound-wait transactions over 3 of ${locks} locks, ${threads} threads, short work inside and outside`,
  package: 'shm',
  goals: [goalId],
  threads: 2,
  unit: 'thousand a second',
  reference: 'C wound-wait, spin 100',
  cases: [
    native('C wound-wait, spin 100', 'ww', [threads, locks, 100]),
    ours('WwMutex', 'ww', 'transactions', { threads, locks }),
    ours('WwMutex, wait-die', 'ww', 'transactions', { threads, locks, algorithm: 'wait-die' }),
    native('C wound-wait, no spin', 'ww', [threads, locks, 0]),
  ],
  verdicts: [
    goal(goalId, `wound-wait, 3 of ${locks}, ${threads} threads`, 'WwMutex', 'C wound-wait, spin 100', 'ktx_s', {
      atLeast,
    }),
  ],
});

export const tables = [
  {
    id: 'mutex',
    title: 'mutex lock + unlock, nobody else wants it',
    package: 'shm',
    goals: ['P5'],
    threads: 1,
    unit: 'ns',
    reference: 'C three-state futex mutex',
    cases: [
      native('C three-state futex mutex', 'locks', ['uncontended']),
      ours('Mutex', 'locks', 'uncontended'),
      ours('Mutex, lockdep on', 'locks', 'uncontended', { lockdep: true }),
      script('bare Atomics, same algorithm', 'locks', 'uncontended'),
      script('bare WebAssembly calls, no list of held locks', 'locks', 'uncontendedWasm'),
    ],
    verdicts: [
      goal('P5', 'mutex lock + unlock', 'Mutex', 'C three-state futex mutex', 'lock_unlock_ns', { atMost: 1.95 }),
    ],
  },
  {
    id: 'mutex-contended',
    title: 'mutex, two threads contending, short work inside and outside',
    package: 'shm',
    goals: ['P6'],
    threads: 2,
    unit: 'million a second',
    reference: 'glibc pthread_mutex',
    cases: [
      native('glibc pthread_mutex', 'locks', ['contended-pthread', 2]),
      ours('Mutex', 'locks', 'contended', { threads: 2 }),
      script('bare Atomics, spin 100', 'locks', 'contended', { threads: 2 }),
      native('C futex mutex, spin 100', 'locks', ['contended-futex', 2, 100]),
    ],
    verdicts: [goal('P6', 'mutex, 2 threads', 'Mutex', 'glibc pthread_mutex', 'Mops_s', { atLeast: 1.3 })],
  },
  woundWait('P7', 2, 64, 0.5),
  woundWait('P7', 4, 64, 0.5),
  woundWait('P8', 2, 8, 0.5),
  woundWait('P8', 4, 8, 0.55),
];
