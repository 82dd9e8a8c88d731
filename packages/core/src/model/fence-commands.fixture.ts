import { Fence, FenceArray, FenceCallback, FenceChain, fenceUnwrap, mergeFences } from '@dmabuf-emu/core';
import { mockFence } from '#dist/fence/mock-fence.test-worker.js';
import { ModelArray, ModelChain, ModelFence, mergeModels } from '../fence/containers-model.fixture.ts';
import { type Command, pick } from './buffer-commands.fixture.ts';
import { noteCallback } from './drivers.fixture.ts';
import { fail } from './files.fixture.ts';
import { endedModel } from './resv-commands.fixture.ts';
import { type FencePair, same, type World } from './world.fixture.ts';

const MOST_FENCES = 14;
const MOST_CALLBACKS = 4;
/** Contexts that fences by hand are of. */
const CONTEXTS = 3;
const FIRST_CONTEXT = 1_000_000;
const ERRORS = [-5, -62, -125, 0, 5, -5000];

export function keep(w: World, real: Fence, model: ModelFence, isLeaf = false): FencePair {
  const pair = { ref: real.ref, model: w.learn(real.ref, model), isLeaf, own: 1 };
  w.fences.push(pair);
  return pair;
}

/** A fence of one of the contexts, unless there was one of that number. */
export function freshPoint(w: World, context: number, seqno: number): ModelFence | undefined {
  const fresh = new ModelFence(FIRST_CONTEXT + (context % CONTEXTS), seqno);
  const isTaken = [...w.known.values()].some((known) => known.context === fresh.context && known.seqno === seqno);
  return w.fences.length >= MOST_FENCES || isTaken ? undefined : fresh;
}

function some(w: World, n: number): FencePair | undefined {
  return pick(w.fences, n);
}

function members(w: World, n: number): FencePair[] {
  const plain = w.fences.filter(({ isLeaf }) => isLeaf);
  const wanted = [0, 2, 5].slice(0, 1 + (n % 3)).map((i) => pick(plain, n + i));
  return wanted.filter((pair) => pair !== undefined);
}

const making: Record<string, Command> = {
  fence(w, [a, b]) {
    const model = freshPoint(w, a, b);
    if (model !== undefined) keep(w, mockFence(w.machine, model.context, model.seqno), model, true);
  },

  array(w, [a, b]) {
    const parts = members(w, a);
    if (parts.length === 0 || w.fences.length >= MOST_FENCES) return;
    const any = b % 3 === 0;
    const real = FenceArray.create(
      w.machine,
      parts.map((part) => w.fence(part).get()),
      { signalOnAny: any },
    ).fence;
    keep(
      w,
      real,
      new ModelArray(
        real.context,
        parts.map(({ model }) => model),
        any,
      ),
    );
  },

  chain(w, [a, b, c]) {
    const point = pick(
      w.fences.filter(({ model }) => !(model instanceof ModelChain)),
      a,
    );
    const prev = pick([undefined, ...w.fences.filter(({ model }) => !(model instanceof ModelArray))], b);
    const seqno = c % 10;
    if (point === undefined || w.fences.length >= MOST_FENCES) return;
    const before = prev === undefined ? undefined : w.fence(prev).get();
    const real = FenceChain.create(before, w.fence(point).get(), seqno).fence;
    const model = new ModelChain(prev?.model, point.model, seqno, real.context);
    same([real.context, real.seqno, FenceChain.of(real)!.prevSeqno], [model.context, model.seqno, model.prevSeqno]);
    keep(w, real, model);
  },

  merge(w, [a, b]) {
    const heads = [some(w, a), some(w, b)].filter((pair) => pair !== undefined);
    if (w.fences.length >= MOST_FENCES) return;
    const real = mergeFences(
      w.machine,
      heads.map((head) => w.fence(head)),
    );
    const model = mergedModel(
      w,
      real,
      heads.map((head) => head.model),
    );
    keep(w, real, model);
  },
};

/** The model of a merge, once it is known to be right. */
export function mergedModel(w: World, real: Fence, heads: readonly ModelFence[]): ModelFence {
  const wanted = mergeModels(heads);
  if (typeof wanted === 'number') {
    same([real.signaledFlag(), real.timestampNs()], [true, wanted]);
    return w.learn(real.ref, endedModel(real));
  }
  const parts = Array.from(fenceUnwrap(w.machine, real.ref), ({ ref }) => w.known.get(ref));
  same(parts, wanted);
  same(FenceArray.of(real) !== undefined, wanted.length > 1);
  return wanted.length === 1 ? wanted[0]! : w.learn(real.ref, new ModelArray(real.context, wanted, false));
}

const using: Record<string, Command> = {
  signal(w, [a, b]) {
    const leaf = pick(
      w.fences.filter(({ isLeaf }) => isLeaf),
      a,
    );
    if (leaf === undefined) return;
    w.equal(
      () => (b % 2 === 0 ? w.fence(leaf).checkAndSignal() : w.fence(leaf).signalUnowned(b)),
      () => {
        const was = leaf.model.signaled;
        leaf.model.end(0, b % 2 === 0 ? 0 : b);
        return b % 2 === 0 ? was : undefined;
      },
    );
  },

  setError(w, [a, b]) {
    const leaf = pick(
      w.fences.filter(({ isLeaf }) => isLeaf),
      a,
    );
    const error = pick(ERRORS, b)!;
    if (leaf === undefined) return;
    w.fence(leaf).setError(error);
    const isError = error < 0 && error >= -4095;
    if (leaf.model.signaled) w.model.diag.push('warn fence-error-late');
    if (isError) leaf.model.error = error;
    else w.model.diag.push('warn fence-error-range');
  },

  status(w, [a]) {
    const pair = some(w, a);
    if (pair === undefined) return;
    w.equal(
      () => w.fence(pair).status(),
      () => (pair.model.isSignaled() ? pair.model.error || 1 : 0),
    );
  },

  enable(w, [a]) {
    const pair = some(w, a);
    if (pair === undefined) return;
    w.fence(pair).enableSignaling();
    pair.model.enable();
  },

  find(w, [a, b]) {
    const pair = some(w, a);
    if (pair === undefined || !(pair.model instanceof ModelChain)) return;
    const { model } = pair;
    const real = w.fence(pair).get();
    const found = w.both(
      () => FenceChain.findSeqno(real, b % 10),
      () => {
        const point = model.find(b % 10);
        return point === null ? fail('EINVAL') : point;
      },
      (fence) => (fence === undefined ? undefined : w.known.get(fence.ref)),
    );
    if (found === undefined) real.put();
    else found.real?.put();
  },

  addCallback(w, [a, b]) {
    const pair = some(w, a);
    if (pair === undefined) return;
    const callback = w.callbacks.length < MOST_CALLBACKS ? newCallback(w) : pick(w.callbacks, b)!;
    w.equal(
      () => w.fence(pair).addCallback(new FenceCallback(w.machine, callback.real.ref)),
      () => {
        if (callback.on?.isOn === true) {
          w.model.diag.push('warn fence-cb-queued');
          fail('EINVAL');
        }
        const on = { fence: pair, isOn: true };
        callback.on = on;
        on.isOn = pair.model.onEnd(() => {
          if (!on.isOn) return;
          on.isOn = false;
          w.calls.push(`callback ${callback.number}`);
        });
        return on.isOn;
      },
    );
  },

  removeCallback(w, [a, b]) {
    const callback = pick(w.callbacks, a);
    const pair = b % 4 === 0 ? some(w, b) : callback?.on?.fence;
    if (callback === undefined || pair === undefined || !w.fences.includes(pair)) return;
    w.equal(
      () => w.fence(pair).removeCallback(new FenceCallback(w.machine, callback.real.ref)),
      () => {
        const { on } = callback;
        const wasOn = on?.isOn === true && on.fence.ref === pair.ref;
        if (wasOn) on.isOn = false;
        return wasOn;
      },
    );
  },

  getFence(w, [a]) {
    const pair = some(w, a);
    if (pair === undefined) return;
    w.fence(pair).get();
    pair.own++;
  },

  putFence(w, [a]) {
    const pair = some(w, a);
    if (pair === undefined) return;
    const isLast = pair.own === 1;
    if (isLast && w.callbacks.some(({ on }) => on?.isOn === true && on.fence === pair)) return;
    pair.own--;
    if (isLast) w.fences.splice(w.fences.indexOf(pair), 1);
    w.fence(pair).put();
  },
};

function newCallback(w: World): World['callbacks'][number] {
  const number = w.callbacks.length + 1;
  const callback = { real: FenceCallback.create(w.machine, noteCallback, number), number, on: undefined };
  w.callbacks.push(callback);
  return callback;
}

export const fenceCommands: Record<string, Command> = { ...making, ...using };
