// P19: recording one trace event.
import { goal, native, ours, script } from '../lib/define.mjs';

export const tables = [
  {
    id: 'trace-event',
    title: 'record one trace event of 32 bytes, no time stamp',
    package: 'shm',
    goals: ['P19'],
    threads: 1,
    unit: 'ns',
    reference: 'C ring write',
    cases: [
      native('C ring write', 'ring'),
      ours('machine.trace.event', 'trace', 'event', { clock: 'manual' }),
      ours("machine.trace.event, the host's clock every 16th", 'trace', 'event'),
      ours('machine.trace.event, tracing off', 'trace', 'eventOff'),
      script('bare Int32Array ring', 'trace', 'ring'),
      script('one object an event', 'trace', 'objects', {}, { naive: true }),
    ],
    verdicts: [goal('P19', 'trace event', 'machine.trace.event', 'C ring write', 'event_ns', { atMost: 2.2 })],
  },
];
