// P12, P13: moving and filling bytes of the arena.
import { goal, native, ours, script } from '../lib/define.mjs';

const KIB = 1024;
const SIZES = [
  { label: '4 KiB', bytes: 4 * KIB, copy: 0.88 },
  { label: '64 KiB', bytes: 64 * KIB, copy: 0.95 },
  { label: '1 MiB', bytes: KIB * KIB, copy: 0.95 },
  { label: '64 MiB', bytes: 64 * KIB * KIB, copy: 0.95 },
];

export const tables = SIZES.map(({ label, bytes, copy }) => ({
  id: `copy-${label.replace(' ', '')}`,
  title: `copy and fill in the arena, ${label}`,
  package: 'shm',
  goals: ['P12', 'P13'],
  threads: 1,
  unit: 'GB/s',
  reference: 'C memcpy, memset',
  cases: [
    native('C memcpy, memset', 'memory', ['copy', bytes]),
    ours('mem.copy, mem.fill', 'memory', 'copyAndFill', { bytes }),
    script('TypedArray set, fill', 'memory', 'typedArrays', { bytes }, { naive: true }),
  ],
  verdicts: [
    goal('P12', `copy ${label}`, 'mem.copy, mem.fill', 'C memcpy, memset', 'copy_GB_s', { atLeast: copy }),
    goal('P13', `fill ${label}`, 'mem.copy, mem.fill', 'C memcpy, memset', 'fill_GB_s', { atLeast: 0.85 }),
  ],
}));
