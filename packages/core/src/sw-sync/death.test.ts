import { type DmaBuf, Epoll, FdTable, poll, PollEvents, registerDrivers, SyncFlags } from '@dmabuf-emu/core';
import { close, swFence, swInc, swOpen, syncMerge, syncWait } from '#dist/sw-sync/sync-user.test-worker.js';
import { isKernelError, Machine, setSyncHook, TaskKilled } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { exported, recorder } from '../dma-buf/recorder.fixture.ts';

const { IN, OUT, ET } = PollEvents;

/** What the task that dies, and the one that is left, both use: one process. */
interface Scene {
  readonly timeline: number;
  readonly other: number;
  /** Fences of the timeline at 1, 2 and 3. */
  readonly fences: readonly number[];
  readonly merged: number;
  readonly buffer: number;
  readonly dmabuf: DmaBuf;
  readonly epfd: number;
  readonly epoll: Epoll;
}

function setUp(machine: Machine): Scene & { exporter: ReturnType<typeof recorder>['exporter'] } {
  const { exporter, ...recording } = recorder();
  const [timeline, other] = [swOpen(machine), swOpen(machine)];
  const fences = [1, 2, 3].map((value) => swFence(machine, timeline, value));
  const merged = syncMerge(machine, fences[0]!, swFence(machine, other, 1));
  const dmabuf = exported(machine, { exporter, ...recording });
  const buffer = dmabuf.get().fd();
  dmabuf.importSyncFile(fences[0]!, SyncFlags.WRITE);
  const epoll = Epoll.create(machine);
  const epfd = FdTable.current(machine).install(epoll.file.get());
  for (const [data, fd] of [...fences, merged, buffer].entries()) {
    epoll.add(fd, { events: IN | (data % 2 === 0 ? ET : 0), data: BigInt(data) });
  }
  return { timeline, other, fences, merged, buffer, dmabuf, epfd, epoll, exporter };
}

const OPERATIONS: Record<string, (machine: Machine, scene: Scene) => void> = {
  'makes a fence': (machine, { timeline }) => void swFence(machine, timeline, 2),
  'moves the timeline on': (machine, { timeline }) => swInc(machine, timeline, 2),
  merges: (machine, { merged, fences }) => void syncMerge(machine, merged, fences[2]!),
  polls: (machine, { merged, fences, buffer }) => {
    poll(
      machine,
      [merged, fences[1]!, buffer].map((fd) => ({ fd, events: IN | OUT })),
      { timeoutMs: 1 },
    );
  },
  'polls by epoll': (machine, { epfd, timeline }) => {
    const file = FdTable.current(machine).get(epfd);
    Epoll.of(file).wait({ timeoutMs: 0 });
    swInc(machine, timeline, 1);
    Epoll.of(file).wait({ timeoutMs: 0 });
    file.put();
  },
  'changes an epoll file': (machine, { epfd, timeline, buffer }) => {
    const file = FdTable.current(machine).get(epfd);
    const epoll = Epoll.of(file);
    epoll.add(swFence(machine, timeline, 9), { events: IN, data: 9n });
    epoll.modify(buffer, { events: OUT, data: 4n });
    epoll.remove(buffer);
    file.put();
  },
  'gives and takes the fences of a buffer': (machine, { dmabuf, merged }) => {
    dmabuf.importSyncFile(merged, SyncFlags.READ);
    close(machine, dmabuf.exportSyncFile(SyncFlags.WRITE));
  },
  'closes files': (machine, { merged, fences, timeline, epfd }) => close(machine, fences[0]!, merged, epfd, timeline),
};

/** Runs `fn` as a task of its own that dies at its `n`-th sync point; returns its label, undefined when it did not come that far. */
function runUntilDeath(machine: Machine, scene: ReturnType<typeof setUp>, n: number, name: string): string | undefined {
  const victim = Machine.join(machine.handle, { name: 'victim' });
  registerDrivers(victim, [scene.exporter]);
  FdTable.of(victim, FdTable.current(machine).ref).join();
  const dmabuf = Object.getPrototypeOf(scene.dmabuf).constructor.of(victim, scene.dmabuf.ref) as DmaBuf;
  let left = n;
  const former = setSyncHook((label) => {
    if (--left === 0) throw new TaskKilled(victim.tid, label);
  });
  try {
    OPERATIONS[name]!(victim, { ...scene, dmabuf });
  } catch (error) {
    if (!(error instanceof TaskKilled)) throw error;
    setSyncHook(former);
    machine.reap(victim.tid);
    return error.label;
  }
  setSyncHook(former);
  victim.leave();
  return undefined;
}

/**
 * What is behind the descriptors that are left, after the timelines went as far as they go. A timeline whose last reference the
 * dead task took along is out of reach; a buffer whose lock died with it answers ERR.
 */
function expectWhole(machine: Machine, { timeline, other, fences, merged, buffer }: Scene): void {
  const open = new Set(
    FdTable.current(machine)
      .entries()
      .map(({ fd }) => fd),
  );
  for (const fd of [timeline, other]) if (open.has(fd)) swInc(machine, fd, 20);
  const ended = [...fences, merged].filter((fd) => open.has(fd) && open.has(timeline));
  expect(ended.filter((fd) => !syncWait(machine, fd, 0))).toEqual([]);
  if (!open.has(buffer)) return;
  const [ready] = poll(machine, [{ fd: buffer, events: IN | OUT }], { timeoutMs: 0 });
  if (open.has(timeline)) expect(ready).toBeGreaterThan(0);
}

describe('a task that dies at any point', () => {
  it.each(Object.keys(OPERATIONS))('when it %s leaves the others whole', { timeout: 120_000 }, (name) => {
    for (let n = 1; ; n++) {
      using machine = testMachine({ arenaBytes: 16 << 20, memoryBytes: 0 });
      const scene = setUp(machine);
      const died = runUntilDeath(machine, scene, n, name);
      expectWhole(machine, scene);
      try {
        scene.epoll.wait({ timeoutMs: 0 });
      } catch (error) {
        if (!isKernelError(error, 'EOWNERDEAD')) throw error;
      }
      expect(machine.verify().errors, `${name}, sync point ${n}: ${died}`).toEqual([]);
      scene.epoll.file.put();
      scene.dmabuf.put();
      FdTable.exit(machine);
      if (died === undefined) break;
    }
  });
});
