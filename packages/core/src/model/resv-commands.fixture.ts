import { Fence, FenceArray, type ResvUsage, SyncFile } from '@dmabuf-emu/core';
import { ModelArray, ModelFence } from '../fence/containers-model.fixture.ts';
import { type Command, freeBuffer, perhapsLocked, pick, someBuffer, someFd } from './buffer-commands.fixture.ts';
import { fail } from './files.fixture.ts';
import type { BufferPair, FencePair, World } from './world.fixture.ts';

/** The fence that stands for the pending ones of a buffer, beside what the machine gave. */
export function singleton(w: World, real: Fence | undefined, pending: readonly ModelFence[]): unknown {
  if (real === undefined) return pending.length === 0 ? 'none' : 'missing';
  if (pending.length === 1) return w.known.get(real.ref) === pending[0] ? 'one' : 'another';
  const members = FenceArray.of(real)
    ?.members()
    .map(({ ref }) => w.known.get(ref));
  return members?.length === pending.length && members.every((m, i) => m === pending[i]) ? 'array' : 'wrong';
}

export function wantedSingleton(pending: readonly ModelFence[]): string {
  return ['none', 'one'][pending.length] ?? 'array';
}

export function pendingOf(pair: BufferPair, usage: ResvUsage): ModelFence[] {
  return pair.model.resv.pending(usage).map(({ fence }) => fence as ModelFence);
}

function usageOf(n: number): ResvUsage {
  return (n % 4) as ResvUsage;
}

/** A fence that is no array or chain. */
function somePlain(w: World, n: number): FencePair | undefined {
  return pick(
    w.fences.filter(({ model }) => model.leaves().length === 1 && model.leaves()[0] === model),
    n,
  );
}

/** Whoever has the lock has a reference. */
function putBuffer(w: World, pair: BufferPair): void {
  w.dmabuf(pair).put();
  w.model.put(pair.model.file);
}

const locking: Record<string, Command> = {
  lock(w, [a]) {
    const pair = someBuffer(w, a);
    if (pair === undefined || pair.model.isHeld) return;
    const { resv } = w.dmabuf(pair).get();
    pair.model.file.refs++;
    const isFree = pair.model.lockedBy === undefined;
    w.equal(
      () => resv.tryLock(),
      () => isFree,
    );
    if (isFree) pair.model.lock();
    else putBuffer(w, pair);
  },

  unlock(w, [a]) {
    const pair = pick(
      w.buffers.filter(({ model }) => !model.released && model.isHeld),
      a,
    );
    if (pair === undefined) return;
    w.dmabuf(pair).resv.unlock();
    pair.model.unlock();
    putBuffer(w, pair);
  },
};

const changing: Record<string, Command> = {
  reserve(w, [a, b, c]) {
    const pair = someBuffer(w, a);
    const count = b % 7;
    if (pair === undefined) return;
    perhapsLocked(
      w,
      pair,
      c,
      () => w.dmabuf(pair).resv.reserveFences(count),
      () => {
        pair.model.requireLock();
        if (count === 0) {
          w.model.diag.push('warn resv-reserve');
          fail('EINVAL');
        }
        pair.model.resv.reserve(count);
      },
    );
  },

  add(w, [a, b, c]) {
    const pair = someBuffer(w, a);
    const fence = somePlain(w, b);
    const usage = usageOf(c);
    if (pair === undefined || fence === undefined) return;
    const { resv } = pair.model;
    const hasRoom = resv.hasRoom(fence.model, usage);
    if (pair.model.isHeld && !hasRoom) return;
    perhapsLocked(
      w,
      pair,
      hasRoom ? c >> 2 : 0,
      () => w.dmabuf(pair).resv.addFence(w.fence(fence), usage),
      () => {
        pair.model.requireLock();
        resv.add(fence.model, usage);
      },
    );
  },

  /** As drivers do it. */
  attachFence(w, [a, b, c]) {
    const pair = freeBuffer(w, a);
    const fence = somePlain(w, b);
    const usage = usageOf(c);
    if (pair === undefined || fence === undefined) return;
    const { resv } = w.dmabuf(pair);
    resv.with(() => {
      resv.reserveFences(1);
      resv.addFence(w.fence(fence), usage);
    });
    pair.model.locked(() => {
      pair.model.resv.reserve(1);
      pair.model.resv.add(fence.model, usage);
    });
  },

  replace(w, [a, b, c]) {
    const pair = someBuffer(w, a);
    const fence = somePlain(w, b);
    const entry = pick(pair?.model.resv.entries ?? [], c);
    const usage = usageOf(c >> 2);
    if (pair === undefined || fence === undefined || entry === undefined) return;
    const { context } = entry.fence;
    perhapsLocked(
      w,
      pair,
      a >> 3,
      () => w.dmabuf(pair).resv.replaceFences(context, w.fence(fence), usage),
      () => {
        pair.model.requireLock();
        pair.model.resv.replace(context, fence.model, usage);
      },
    );
  },

  copy(w, [a, b, c]) {
    const [to, from] = [someBuffer(w, a), someBuffer(w, b)];
    if (to === undefined || from === undefined) return;
    perhapsLocked(
      w,
      to,
      c,
      () => w.dmabuf(to).resv.copyFences(w.dmabuf(from).resv),
      () => {
        to.model.requireLock();
        to.model.resv.copy(from.model.resv);
      },
    );
  },
};

const looking: Record<string, Command> = {
  testSignaled(w, [a, b]) {
    const pair = someBuffer(w, a);
    if (pair === undefined) return;
    const [{ resv }, usage] = [w.dmabuf(pair), usageOf(b)];
    w.equal(
      () => [resv.testSignaled(usage), resv.wait(usage, { timeoutMs: 0 })],
      () => (pendingOf(pair, usage).length === 0 ? [true, 1] : [false, 0]),
    );
  },

  getFences(w, [a, b]) {
    const pair = someBuffer(w, a);
    if (pair === undefined) return;
    const [{ resv }, usage] = [w.dmabuf(pair), usageOf(b)];
    const fences = resv.getFences(usage);
    w.equal(
      () => fences.map(({ ref }) => w.known.get(ref)),
      () => pendingOf(pair, usage),
    );
    for (const fence of fences) fence.put();
    const one = resv.getSingleton(usage);
    w.equal(
      () => singleton(w, one, pendingOf(pair, usage)),
      () => wantedSingleton(pendingOf(pair, usage)),
    );
    one?.put();
  },

  exportSyncFile(w, [a, b]) {
    const pair = someBuffer(w, a);
    const flags = b % 6;
    if (pair === undefined) return;
    const made = w.both(
      () => w.dmabuf(pair).exportSyncFile(flags),
      () => {
        if (flags === 0 || flags > 3) fail('EINVAL');
        const fd = w.process.lowest();
        const pending = pendingOf(pair, (flags & 2) !== 0 ? 2 : 1);
        const file = w.model.open('sync_file', () => {}, 'ENOMEM');
        w.process.fds[fd] = file;
        return { fd, file, pending };
      },
    );
    if (made === undefined) return;
    const { fd, file, pending } = made.model;
    const sync = SyncFile.tryGet(w.machine, made.real)!;
    w.equal(
      () => [made.real, pending.length === 0 ? sync.fence.signaledFlag() : singleton(w, sync.fence, pending)],
      () => [fd, pending.length === 0 ? true : wantedSingleton(pending)],
    );
    w.addFile(file, { ref: sync.file.ref, sync: { fence: modelOfSingleton(w, sync.fence, pending), polled: false } });
    sync.file.put();
  },

  importSyncFile(w, [a, b, c]) {
    const pair = freeBuffer(w, a);
    const [fd, flags] = [someFd(w, b, 'sync_file'), c % 5];
    if (pair === undefined) return;
    w.equal(
      () => w.dmabuf(pair).importSyncFile(fd, flags),
      () => {
        if (flags === 0 || flags > 3) fail('EINVAL');
        const file = w.process.fds[fd];
        const sync = file === undefined ? undefined : w.pairOf(file).sync;
        if (sync === undefined) fail('EINVAL');
        const count = sync.fence.leaves().length;
        if (count === 0) return;
        pair.model.locked(() => {
          pair.model.resv.reserve(count);
          for (const leaf of sync.fence.leaves()) pair.model.resv.add(leaf, (flags & 2) !== 0 ? 1 : 2);
        });
      },
    );
  },
};

function modelOfSingleton(w: World, real: Fence, pending: readonly ModelFence[]): ModelFence {
  if (pending.length === 1) return pending[0]!;
  return w.learn(real.ref, pending.length > 1 ? new ModelArray(real.context, pending, false) : endedModel(real));
}

/** The model of a fence that was signalled when it was made. */
export function endedModel(real: Fence): ModelFence {
  const model = new ModelFence(real.context, real.seqno);
  model.end(0, real.timestampNs());
  return model;
}

export const resvCommands: Record<string, Command> = { ...locking, ...changing, ...looking };
