import { Fence, FdTable, SwSyncTimeline, SyncFile } from '@dmabuf-emu/core';
import type { ModelFence } from '../fence/containers-model.fixture.ts';
import { type Command, pick, someFd } from './buffer-commands.fixture.ts';
import { mergedModel } from './fence-commands.fixture.ts';
import { fail, type ModelFile } from './files.fixture.ts';
import { ModelTimeline } from './timeline.fixture.ts';
import { type FilePair, same, type World } from './world.fixture.ts';

/** Runs `fn` with the file behind a descriptor. */
function withFile<R>(w: World, fd: number, fn: (file: ReturnType<FdTable['get']>) => R): R {
  const file = w.table.get(fd);
  try {
    return fn(file);
  } finally {
    file.put();
  }
}

function fileAt(w: World, fd: number): FilePair {
  return w.pairOf(w.process.at(fd));
}

/** A new sync_file of the model behind the lowest descriptor, which is taken before anything else is looked at. */
function installSync(w: World, check: () => void): { fd: number; file: ModelFile } {
  const fd = w.process.lowest();
  check();
  const file = w.model.open('sync_file', () => {}, 'ENOMEM');
  w.process.fds[fd] = file;
  return { fd, file };
}

/** Puts what a call made into the world. */
function learnSync(w: World, fd: number, file: ModelFile, model: (fence: Fence) => ModelFence): void {
  const sync = SyncFile.tryGet(w.machine, fd)!;
  w.addFile(file, { ref: sync.file.ref, sync: { fence: model(sync.fence), polled: false } });
  sync.file.put();
}

const syncFiles: Record<string, Command> = {
  syncFile(w, [a]) {
    const pair = pick(w.fences, a);
    if (pair === undefined) return;
    const made = w.both(
      () => {
        const sync = SyncFile.create(w.fence(pair));
        try {
          return sync.fd();
        } catch (error) {
          sync.file.put();
          throw error;
        }
      },
      () => {
        const file = w.model.open('sync_file', () => {}, 'ENOMEM');
        try {
          return { fd: w.process.install(file), file };
        } catch (error) {
          w.model.put(file);
          throw error;
        }
      },
    );
    if (made === undefined) return;
    same(made.real, made.model.fd);
    learnSync(w, made.real, made.model.file, () => pair.model);
  },

  syncMerge(w, [a, b, c]) {
    const [fd, fd2, flags] = [someFd(w, a, 'sync_file'), someFd(w, b, 'sync_file'), c % 8 === 0 ? 1 : 0];
    let heads: ModelFence[] = [];
    const made = w.both(
      () => withFile(w, fd, (file) => SyncFile.of(file).mergeFd({ fd2, flags })),
      () => {
        const one = fileAt(w, fd).sync ?? fail('EINVAL');
        return installSync(w, () => {
          if (flags !== 0) fail('EINVAL');
          const other = w.process.fds[fd2];
          const two = (other === undefined ? undefined : w.pairOf(other).sync) ?? fail('ENOENT');
          heads = [one.fence, two.fence];
        });
      },
    );
    if (made === undefined) return;
    same(made.real, made.model.fd);
    learnSync(w, made.real, made.model.file, (fence) => mergedModel(w, fence, heads));
  },

  info(w, [a, b]) {
    const fd = someFd(w, a, 'sync_file');
    const room = b % 4;
    const pad = b % 16 === 5 ? 1 : 0;
    w.equal(
      () => {
        const { status, numFences, fences } = withFile(w, fd, (file) => SyncFile.of(file).info({ room, pad }));
        return [status, numFences, fences?.map((f) => f.status)];
      },
      () => {
        const { fence } = fileAt(w, fd).sync ?? fail('EINVAL');
        if (pad !== 0) fail('EINVAL');
        const leaves = fence.leaves();
        const statusOf = (f: ModelFence): number => (f.isSignaled() ? f.error || 1 : 0);
        if (room === 0) return [statusOf(fence), leaves.length, undefined];
        if (room < leaves.length) fail('EINVAL');
        const all = fence.leaves().map(statusOf);
        return [all.find((status) => status <= 0) ?? 1, all.length, all];
      },
    );
  },

  /** Keeps the fence of a sync_file. */
  fenceOf(w, [a]) {
    const fd = someFd(w, a, 'sync_file');
    const fence = SyncFile.fenceOf(w.machine, fd);
    const file = w.process.fds[fd];
    const sync = file === undefined ? undefined : w.pairOf(file).sync;
    if (fence === undefined || sync === undefined) return same(fence, sync);
    const pair = w.fences.find(({ ref }) => ref === fence.ref);
    if (pair === undefined) w.fences.push({ ref: fence.ref, model: sync.fence, isLeaf: false, own: 1 });
    else pair.own++;
    same(w.known.get(fence.ref), sync.fence);
  },
};

const timelines: Record<string, Command> = {
  timeline(w) {
    const made = w.both(
      () => {
        const timeline = SwSyncTimeline.create(w.machine);
        try {
          return { ref: timeline.file.ref, fd: timeline.fd() };
        } catch (error) {
          timeline.file.put();
          throw error;
        }
      },
      () => {
        const timeline = new ModelTimeline();
        const file = w.model.open('sw_sync', () => timeline.abandon());
        try {
          return { fd: w.process.install(file), file, timeline };
        } catch (error) {
          w.model.put(file);
          throw error;
        }
      },
    );
    if (made === undefined) return;
    same(made.real.fd, made.model.fd);
    w.addFile(made.model.file, { ref: made.real.ref, timeline: made.model.timeline });
  },

  swFence(w, [a, b]) {
    const [fd, value] = [someFd(w, a, 'sw_sync'), b % 12];
    const made = w.both(
      () => withFile(w, fd, (file) => SwSyncTimeline.of(file).createFenceFd(value)),
      () => {
        const { timeline } = fileAt(w, fd);
        if (timeline === undefined) fail('EINVAL');
        return { ...installSync(w, () => {}), timeline: timeline };
      },
    );
    if (made === undefined) return;
    const { timeline, file } = made.model;
    same(made.real, made.model.fd);
    learnSync(w, made.real, file, (fence) => pointModel(w, timeline, fence, value));
  },

  inc(w, [a, b]) {
    const [fd, by] = [someFd(w, a, 'sw_sync'), b % 4];
    w.equal(
      () => withFile(w, fd, (file) => SwSyncTimeline.of(file).inc(by)),
      () => {
        const { timeline } = fileAt(w, fd);
        if (timeline === undefined) fail('EINVAL');
        timeline.inc(by);
      },
    );
  },
};

/** The point of a timeline: the pending one of that value, as long as somebody holds it. */
function pointModel(w: World, timeline: ModelTimeline, fence: Fence, value: number): ModelFence {
  if (timeline.context === 0) timeline.context = fence.context;
  const there = timeline.points.find(({ seqno }) => seqno === value);
  const seen = w.known.get(fence.ref);
  if (there !== undefined && isHeld(w, there)) same(seen, there);
  if (seen !== undefined && seen === there) return there;
  timeline.points = timeline.points.filter((point) => point !== there);
  const model = timeline.createPoint(value);
  same([fence.context, fence.seqno, fence.signaledFlag()], [timeline.context, value, model.signaled]);
  return w.learn(fence.ref, model);
}

/** Whether it is plain to see that a fence has a reference. */
function isHeld(w: World, fence: ModelFence): boolean {
  const inFile = [...w.files].some(([{ refs }, { sync }]) => refs > 0 && sync?.fence === fence);
  const inResv = w.buffers.some(({ model }) => !model.released && model.resv.entries.some((e) => e.fence === fence));
  return inFile || inResv || w.fences.some(({ model }) => model === fence);
}

export const syncCommands: Record<string, Command> = { ...syncFiles, ...timelines };
