import { dmaBufs, Epoll, FdTable, pollAsync, PollEvents, ResvUsage } from '@dmabuf-emu/core';
import { ENABLE_SIGNAL, FenceStruct, STATE } from '#dist/fence/internal/layout.js';
import { atomicStore, type Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { untilAsleep } from '../fd/poll/poll-worker.fixture.ts';
import { attachFence, ready } from './implicit.fixture.ts';
import { exported, recorder } from './recorder.fixture.ts';
import { startBufferPoll } from './poll-worker.fixture.ts';

const { IN, OUT, PRI, ERR, HUP, ET } = PollEvents;
const LIMIT_MS = 10_000;

describe('poll of a buffer (core §1.6.4)', () => {
  it.each([
    ['KERNEL', 0],
    ['WRITE', 0],
    ['READ', IN],
    ['BOOKKEEP', IN | OUT],
  ] as const)('with a %s fence pending is ready for %i', (usage, expected) => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const right = attachFence(dmabuf, ResvUsage[usage]);
    expect([ready(dmabuf), ready(dmabuf, IN), ready(dmabuf, OUT)]).toEqual([expected, expected & IN, expected & OUT]);
    right.signal();
    expect(ready(dmabuf)).toBe(IN | OUT);
    dmabuf.put();
  });

  it('looks at nothing but reading and writing, and takes no lock otherwise', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    expect([PRI, ERR, HUP, 0, IN | OUT | PRI].map((events) => ready(dmabuf, events))).toEqual([0, 0, 0, 0, IN | OUT]);
    dmabuf.resv.with(() => expect(ready(dmabuf, PRI)).toBe(0));
    dmabuf.put();
  });

  it('takes a fence that failed for done (f)', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const right = attachFence(dmabuf, ResvUsage.WRITE);
    expect(ready(dmabuf)).toBe(0);
    right.setError('EIO');
    right.signal();
    expect(ready(dmabuf)).toBe(IN | OUT);
    dmabuf.put();
  });

  it('that gave up leaves a callback that holds the buffer until the fence ends (c, OBSERVED 9)', () => {
    using machine = testMachine();
    const recording = recorder();
    const table = FdTable.current(machine);
    const dmabuf = exported(machine, recording);
    const fd = dmabuf.fd();
    const right = attachFence(dmabuf, ResvUsage.WRITE);
    const counts = [IN, OUT, IN | OUT].map((events) => {
      expect(ready(dmabuf, events)).toBe(0);
      return table.fdinfo(fd)[3];
    });
    expect(counts).toEqual(['count:\t2', 'count:\t3', 'count:\t3']);
    const { errors, leaks } = machine.verify();
    expect([errors, leaks]).toEqual([[], [expect.stringMatching(/^dma_fence: .* 1 references belong to nobody/)]]);
    table.close(fd);
    expect([...dmaBufs(machine)]).toHaveLength(1);
    right.signal();
    expect([...dmaBufs(machine)]).toHaveLength(0);
    expect(recording.log).toEqual(['release']);
  });

  it('has one callback for each direction, whoever polls: others say not ready without a look (b)', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const [first, second] = [attachFence(dmabuf, ResvUsage.WRITE), attachFence(dmabuf, ResvUsage.WRITE)];
    expect(ready(dmabuf, IN)).toBe(0);
    second.signal();
    expect(ready(dmabuf, IN)).toBe(0);
    first.signal();
    expect(ready(dmabuf, IN)).toBe(IN);
    dmabuf.put();
  });

  it('wakes a poller for each fence, which then hooks the next (a)', async () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const rights = [0, 1, 2].map(() => attachFence(dmabuf, ResvUsage.READ));
    let found: number[] | undefined;
    const waiting = pollAsync(machine, [{ file: dmabuf.file, events: OUT }], { timeoutMs: LIMIT_MS });
    void waiting.then((events) => (found = events));
    for (const right of rights) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(found).toBeUndefined();
      right.signal();
    }
    expect(await waiting).toEqual([OUT]);
    dmabuf.put();
  });

  it('asks the driver of the fence to see to its end (d)', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const right = attachFence(dmabuf, ResvUsage.WRITE);
    expect(ready(dmabuf, IN)).toBe(0);
    const asked = machine.mem.i32[machine.slab(FenceStruct).at(right.fence.ref) + STATE]! & ENABLE_SIGNAL;
    expect(asked).toBe(ENABLE_SIGNAL);
    right.signal();
    dmabuf.put();
  });

  it('answers ERR when there is no memory for its callback', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    machine.faults.failNth(1, { site: 'dma_fence_cb' });
    expect(ready(dmabuf, IN)).toBe(ERR);
    expect(ready(dmabuf, IN)).toBe(IN);
    dmabuf.put();
  });
});

describe('epoll of a buffer', () => {
  function watch(machine: Machine, events: number) {
    const dmabuf = exported(machine, recorder());
    const epoll = Epoll.create(machine);
    FdTable.current(machine).install(epoll.file);
    epoll.add(dmabuf.get().fd(), { events, data: 1n });
    return { dmabuf, wait: () => epoll.wait({ timeoutMs: 0 }).map((event) => event.events) };
  }

  it('never goes quiet when it is edge-triggered and nothing is pending (OBSERVED 8)', () => {
    using machine = testMachine();
    const { dmabuf, wait } = watch(machine, IN | OUT | ET);
    expect([wait(), wait(), wait()]).toEqual([[IN | OUT], [IN | OUT], [IN | OUT]]);
    FdTable.exit(machine);
    dmabuf.put();
  });

  it('tells of the end of a fence, edge-triggered', () => {
    using machine = testMachine();
    const { dmabuf, wait } = watch(machine, IN | OUT | ET);
    const right = attachFence(dmabuf, ResvUsage.WRITE);
    wait();
    expect(wait()).toEqual([]);
    right.signal();
    expect([wait(), wait()]).toEqual([[IN | OUT], [IN | OUT]]);
    FdTable.exit(machine);
    dmabuf.put();
  });

  it('goes quiet with a new fence, level-triggered, and tells of its end', () => {
    using machine = testMachine();
    const { dmabuf, wait } = watch(machine, IN);
    expect(wait()).toEqual([IN]);
    const right = attachFence(dmabuf, ResvUsage.WRITE);
    expect(wait()).toEqual([]);
    right.signal();
    expect(wait()).toEqual([IN]);
    FdTable.exit(machine);
    dmabuf.put();
  });
});

describe('poll of a buffer in workers', () => {
  it('waits for somebody who holds resv (e)', async () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    dmabuf.resv.lock();
    const { result, task } = await startBufferPoll(machine, { job: 'poll', dmabuf: dmabuf.ref, timeoutMs: 0 });
    await untilAsleep(machine, task);
    dmabuf.resv.unlock();
    expect(await result).toEqual([IN | OUT]);
    dmabuf.put();
  });

  it('is woken by the fence that another thread ends', async () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const right = attachFence(dmabuf, ResvUsage.WRITE);
    const { result, task } = await startBufferPoll(machine, { job: 'poll', dmabuf: dmabuf.ref, timeoutMs: LIMIT_MS });
    await untilAsleep(machine, task);
    right.signal();
    expect(await result).toEqual([IN | OUT]);
    dmabuf.put();
  });

  it('is woken by a thread that knows no buffers, which leaves the release to those that do', async () => {
    using machine = testMachine();
    const recording = recorder();
    const dmabuf = exported(machine, recording);
    const right = attachFence(dmabuf, ResvUsage.WRITE);
    expect(ready(dmabuf)).toBe(0);
    dmabuf.put();
    expect(recording.log).toEqual([]);
    const { result } = await startBufferPoll<number>(machine, { job: 'signal', fence: right.handOver() });
    expect(await result).toBe(0);
    expect(recording.log).toEqual([]);
    exported(machine, recorder()).put();
    expect(recording.log).toEqual(['release']);
  });

  it('leaves the buffer whole when it dies, and its callback to the others', async () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const right = attachFence(dmabuf, ResvUsage.WRITE);
    const { worker, task } = await startBufferPoll(machine, { job: 'poll', dmabuf: dmabuf.ref, timeoutMs: LIMIT_MS });
    await untilAsleep(machine, task);
    await worker.terminate();
    machine.reap(task);
    expect(ready(dmabuf)).toBe(0);
    right.signal();
    expect(ready(dmabuf)).toBe(IN | OUT);
    expect(dmabuf.refs).toBe(1);
    expect(machine.verify().errors).toEqual([]);
    dmabuf.put();
  });

  it('goes on while fences are added and ended all the time', { timeout: 60_000 }, async () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const stop = machine.root('stop', 16);
    const pollers = await Promise.all(
      [IN, OUT].map((events, n) =>
        startBufferPoll<number>(machine, { job: 'poll-until', dmabuf: dmabuf.ref, events, stop }, `poller${n}`),
      ),
    );
    for (let n = 0; n < 2000; n++) {
      const rights = [ResvUsage.WRITE, ResvUsage.READ].map((usage) => attachFence(dmabuf, usage));
      if (n % 3 === 0) ready(dmabuf);
      for (const right of n % 2 === 0 ? rights : rights.toReversed()) right.signal();
    }
    atomicStore(machine.mem, stop, 1);
    for (const { result } of pollers) expect(await result).toBeGreaterThan(0);
    expect(dmabuf.refs).toBe(1);
    dmabuf.put();
  });
});
