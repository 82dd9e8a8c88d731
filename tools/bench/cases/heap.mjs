// P27, P28: what a fence costs in memory and in the collector's time.
import { goal, ours, script } from '../lib/define.mjs';

const nodeArgs = ['--expose-gc'];
const count = 1_000_000;

export const tables = [
  {
    id: 'fence-bytes',
    title: 'bytes a fence',
    package: 'core',
    goals: ['P27'],
    threads: 1,
    unit: 'bytes',
    reference: 'struct dma_fence of the kernel',
    cases: [
      script('struct dma_fence of the kernel', 'heap', 'kernelFence'),
      ours('fence', 'heap', 'fenceBytes'),
      script('class instance', 'heap', 'fenceObjects', { count }, { nodeArgs, naive: true }),
    ],
    verdicts: [goal('P27', 'bytes a fence', 'fence', 'struct dma_fence of the kernel', 'bytes', { atMost: 0.5 })],
  },
  {
    id: 'gc-pause',
    title: 'full collection with one million live fences',
    package: 'core',
    goals: ['P28'],
    threads: 1,
    unit: 'ms',
    reference: 'same program, no fence',
    cases: [
      script('empty heap', 'heap', 'emptyHeap', {}, { nodeArgs }),
      ours('same program, no fence', 'heap', 'pauseWithFences', { count: 0 }, { nodeArgs }),
      ours('1 M fences', 'heap', 'pauseWithFences', { count }, { nodeArgs }),
      script('1 M class instances', 'heap', 'fenceObjects', { count }, { nodeArgs, naive: true }),
    ],
    verdicts: [
      goal('P28', 'GC pause with 1 M live fences', '1 M fences', 'same program, no fence', 'pause_ms', { atMost: 1.2 }),
    ],
  },
];
