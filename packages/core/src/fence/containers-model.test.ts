import { Fence, FenceArray, FenceChain, fenceContextAlloc, fenceUnwrap, mergeFences } from '@dmabuf-emu/core';
import { mockFence } from '#dist/fence/mock-fence.test-worker.js';
import { isKernelError, type Machine } from '@dmabuf-emu/shm';
import { propertyRuns, testMachine } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ModelArray, ModelChain, ModelFence, mergeModels } from './containers-model.fixture.ts';

const CONTEXTS = 3;
const ERRORS = [0, 0, 0, -5, -62];
const RUNS = 300;

type Op =
  | { readonly op: 'leaf'; readonly context: number; readonly seqno: number }
  | { readonly op: 'array'; readonly of: readonly number[]; readonly any: boolean }
  | { readonly op: 'chain'; readonly prev: number; readonly of: number; readonly seqno: number }
  | { readonly op: 'signal'; readonly of: number; readonly error: number; readonly stampNs: number }
  | { readonly op: 'enable' | 'poll' | 'unwrap'; readonly of: number }
  | { readonly op: 'merge'; readonly of: readonly number[] }
  | { readonly op: 'find'; readonly of: number; readonly seqno: number };

const index = fc.nat({ max: 30 });
const seqno = fc.nat({ max: 9 });
const op: fc.Arbitrary<Op> = fc.oneof(
  fc.record({ op: fc.constant('leaf' as const), context: fc.nat({ max: CONTEXTS - 1 }), seqno: fc.nat({ max: 1000 }) }),
  fc.record({
    op: fc.constant('array' as const),
    of: fc.array(index, { minLength: 1, maxLength: 4 }),
    any: fc.boolean(),
  }),
  fc.record({ op: fc.constant('chain' as const), prev: fc.integer({ min: -1, max: 30 }), of: index, seqno }),
  fc.record({ op: fc.constant('signal' as const), of: index, error: fc.constantFrom(...ERRORS), stampNs: fc.nat() }),
  fc.record({ op: fc.constantFrom('enable' as const, 'poll' as const, 'unwrap' as const), of: index }),
  fc.record({ op: fc.constant('merge' as const), of: fc.array(index, { maxLength: 4 }) }),
  fc.record({ op: fc.constant('find' as const), of: index, seqno }),
);

/** What the machine shows, and what the model does. */
type Seen = readonly [real: unknown, model: unknown];
const NOTHING: Seen = [undefined, undefined];

/** Fences of a machine beside those of the model, in the order they were made. */
class Pairs {
  readonly #machine: Machine;
  readonly #first: number;
  readonly #pairs: { readonly real: Fence; readonly model: ModelFence }[] = [];

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#first = fenceContextAlloc(machine, CONTEXTS);
  }

  /** Does the same on both sides. */
  step(step: Op): Seen {
    switch (step.op) {
      case 'leaf':
        return this.#leaf(this.#first + step.context, step.seqno);
      case 'array':
        return this.#array(step.of, step.any);
      case 'chain':
        return this.#chain(step.prev, step.of, step.seqno);
      case 'merge':
        return this.#merge(step.of);
      default:
        return this.#single(step);
    }
  }

  /** Whatever can be seen without asking a driver. */
  flags(): Seen {
    const seen = this.#pairs.map(({ real }) => [real.signaledFlag(), real.signaledFlag() ? real.status() : 0]);
    const wanted = this.#pairs.map(({ model }) => [model.signaled, model.signaled ? model.error || 1 : 0]);
    return [seen, wanted];
  }

  end(): void {
    for (const { real, model } of this.#pairs) if (isLeaf(model)) real.signalUnowned();
    for (const { real } of this.#pairs) real.put();
  }

  #leaf(context: number, number: number): Seen {
    if (this.#pairs.some(({ model }) => model.context === context && model.seqno === number)) return NOTHING;
    this.#pairs.push({ real: mockFence(this.#machine, context, number), model: new ModelFence(context, number) });
    return NOTHING;
  }

  #array(of: readonly number[], any: boolean): Seen {
    const members = this.#leaves(of);
    if (members.length === 0) return NOTHING;
    const real = FenceArray.create(
      this.#machine,
      members.map((m) => m.real.get()),
      { signalOnAny: any },
    ).fence;
    const models = members.map((m) => m.model);
    this.#pairs.push({ real, model: new ModelArray(real.context, models, any) });
    return NOTHING;
  }

  #chain(prevIndex: number, of: number, number: number): Seen {
    const points = this.#pairs.filter(({ model }) => !(model instanceof ModelChain));
    const starts = this.#pairs.filter(({ model }) => !(model instanceof ModelArray));
    const point = points[of % points.length];
    if (point === undefined) return NOTHING;
    const prev = prevIndex < 0 ? undefined : starts[prevIndex % starts.length];
    const { fence: real } = FenceChain.create(prev?.real.get(), point.real.get(), number);
    const model = new ModelChain(prev?.model, point.model, number, real.context);
    this.#pairs.push({ real, model });
    return [
      [real.context, real.seqno, FenceChain.of(real)!.prevSeqno],
      [model.context, model.seqno, model.prevSeqno],
    ];
  }

  #merge(of: readonly number[]): Seen {
    const heads = of.map((i) => this.#pairs[i % this.#pairs.length]).filter((pair) => pair !== undefined);
    const merged = mergeFences(
      this.#machine,
      heads.map((h) => h.real),
    );
    const wanted = mergeModels(heads.map((h) => h.model));
    const seen =
      typeof wanted === 'number'
        ? [merged.signaledFlag(), merged.timestampNs()]
        : [FenceArray.of(merged) !== undefined, this.#refsOf(merged)];
    merged.put();
    return [
      seen,
      typeof wanted === 'number' ? [true, wanted] : [wanted.length > 1, wanted.map((m) => this.#realOf(m).ref)],
    ];
  }

  #single(step: Extract<Op, { of: number; op: 'signal' | 'enable' | 'poll' | 'unwrap' | 'find' }>): Seen {
    const pair = this.#pairs[step.of % this.#pairs.length];
    if (pair === undefined) return NOTHING;
    const { real, model } = pair;
    switch (step.op) {
      case 'find':
        return this.#find(real, model, step.seqno);
      case 'enable':
        real.enableSignaling();
        model.enable();
        return NOTHING;
      case 'poll':
        return [real.isSignaled(), model.isSignaled()];
      case 'unwrap':
        return [this.#refsOf(real), model.leaves().map((leaf) => this.#realOf(leaf).ref)];
      case 'signal':
        if (!isLeaf(model) || model.signaled) return NOTHING;
        if (step.error !== 0) real.setError(step.error);
        real.signalUnowned(step.stampNs);
        model.end(step.error, step.stampNs);
        return NOTHING;
    }
  }

  #find(real: Fence, model: ModelFence, number: number): Seen {
    if (!(model instanceof ModelChain)) return NOTHING;
    const wanted = model.find(number);
    let found: Fence | undefined | null = null;
    try {
      found = FenceChain.findSeqno(real.get(), number);
    } catch (error) {
      if (!isKernelError(error, 'EINVAL')) throw error;
      real.put();
    }
    found?.put();
    return [found?.ref ?? found, wanted ? this.#realOf(wanted).ref : wanted];
  }

  #leaves(of: readonly number[]): { real: Fence; model: ModelFence }[] {
    const leaves = this.#pairs.filter(({ model }) => isLeaf(model));
    return leaves.length === 0 ? [] : of.map((i) => leaves[i % leaves.length]!);
  }

  #refsOf(head: Fence): number[] {
    return Array.from(fenceUnwrap(this.#machine, head.ref), (leaf) => leaf.ref);
  }

  #realOf(model: ModelFence): Fence {
    return this.#pairs.find((pair) => pair.model === model)!.real;
  }
}

function isLeaf(model: ModelFence): boolean {
  return !(model instanceof ModelArray || model instanceof ModelChain);
}

it('arrays, chains, unwrapping and merging do what a plain model does', () => {
  fc.assert(
    fc.property(fc.array(op, { maxLength: 60, size: 'max' }), (ops) => {
      using machine = testMachine();
      const pairs = new Pairs(machine);
      for (const step of ops) {
        for (const [real, model] of [pairs.step(step), pairs.flags()])
          expect(real, JSON.stringify(step)).toEqual(model);
      }
      pairs.end();
    }),
    { numRuns: propertyRuns(RUNS) },
  );
});
