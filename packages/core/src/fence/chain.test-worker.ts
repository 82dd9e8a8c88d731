import {
  Fence,
  fenceChainFindSeqno,
  fenceGet,
  fencePut,
  fenceSignal,
  fenceUnwrap,
  fenceUnwrapMerge,
} from '@dmabuf-emu/core';
import { atomicLoad, Completion, type Machine, Random } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { chainMockOps } from './mock-fence.test-worker.ts';

/** What a chain test asks of a worker. */
export interface ChainJob {
  readonly job: 'find-race' | 'wait' | 'merge-race';
  /** Head of the chain. */
  readonly tail: number;
  /** Fences of its points, the first one first. */
  readonly fences: readonly number[];
  /** Completion that is completed when the worker is about to start; word that ends it. */
  readonly ready: number;
  readonly stop: number;
  readonly timeoutMs: number;
}

/** Finds random points and ends random fences, all but the last, until told to stop. */
function findRace(machine: Machine, { tail, fences, stop }: ChainJob): { finds: number; selfs: number } {
  const random = new Random(machine.tid);
  let finds = 0;
  let selfs = 0;
  for (; atomicLoad(machine.mem, stop) === 0; finds++) {
    const seqno = 1 + random.below(fences.length);
    fenceGet(machine, tail);
    const found = fenceChainFindSeqno(machine, tail, seqno);
    if (found !== 0) {
      if (Fence.of(machine, found).seqno === seqno) {
        selfs++;
        if (fenceChainFindSeqno(machine, found, seqno) !== found)
          throw new Error(`point ${seqno} does not find itself`);
      }
      fencePut(machine, found);
    }
    fenceSignal(machine, fences[random.below(fences.length - 1)]!);
  }
  return { finds, selfs };
}

/** Merges the chain with some of its fences until told to stop; what comes out is plain, pending before, and of one kind each. */
function mergeRace(machine: Machine, { tail, fences, stop }: ChainJob): { merges: number; arrays: number } {
  const random = new Random(machine.tid);
  const known = new Set(fences);
  let merges = 0;
  let arrays = 0;
  for (; atomicLoad(machine.mem, stop) === 0; merges++) {
    const merged = fenceUnwrapMerge(machine, [random.pick(fences), tail, random.pick(fences)]);
    const contexts = Array.from(fenceUnwrap(machine, merged), (leaf) => {
      if (leaf.isContainer) throw new Error('a merged fence consists of containers');
      if (leaf.context !== 0 && !known.has(leaf.ref)) throw new Error(`fence ${leaf.ref} came from nowhere`);
      return leaf.context;
    });
    if (contexts.some((context, i) => i > 0 && context <= contexts[i - 1]!))
      throw new Error(`contexts: ${contexts.join(' ')}`);
    if (contexts.length > 1) arrays++;
    fencePut(machine, merged);
  }
  return { merges, arrays };
}

await runTestWorker((machine, job: ChainJob) => {
  machine.drivers.register('fence', chainMockOps.name, chainMockOps);
  const tail = Fence.of(machine, job.tail);
  new Completion(machine, job.ready, 'ready').complete();
  if (job.job === 'wait') return tail.wait({ timeoutMs: job.timeoutMs });
  return job.job === 'merge-race' ? mergeRace(machine, job) : findRace(machine, job);
});
