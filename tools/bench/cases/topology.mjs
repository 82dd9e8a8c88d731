// Reading a machine from text.
import { goal, ours, script } from '../lib/define.mjs';

export const tables = [
  {
    id: 'read-machine',
    title: 'reading 300 KB of lspci text',
    package: 'pci-iommu',
    goals: ['read'],
    threads: 1,
    unit: 'ms',
    reference: '100 ms',
    cases: [
      script('100 ms', 'topology', 'limit', { ms: 100 }),
      script('split into words', 'topology', 'splitWords', { bytes: 300_000 }),
      ours('readMachine, first time in the process', 'topology', 'readFirst', { bytes: 300_000, hex: false }),
      ours('readMachine, again', 'topology', 'readAgain', { bytes: 300_000, hex: false }),
      ours('readMachine, mostly hex dump, again', 'topology', 'readAgain', { bytes: 300_000, hex: true }),
    ],
    verdicts: [
      goal('read', '300 KB of text, first time', 'readMachine, first time in the process', '100 ms', 'read_ms', {
        atMost: 1,
      }),
      goal('read', '300 KB of hex dump, again', 'readMachine, mostly hex dump, again', '100 ms', 'read_ms', {
        atMost: 1,
      }),
    ],
  },
];
