import { Epoll, EventFd, FdTable, File, OpenFlags, poll, PollEvents, registerFileOps } from '@dmabuf-emu/core';
import { atomicLoad, type Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { LIMIT_MS, startPollJob, untilAsleep } from './poll-worker.fixture.ts';

const { IN, OUT, ET, ONESHOT, EXCLUSIVE } = PollEvents;
const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });

/** An epoll file and `count` eventfds, all with descriptors; the eventfds are not watched yet. */
function setUp(machine: Machine, count: number, flags = 0) {
  const table = FdTable.current(machine);
  const events = Array.from({ length: count }, () => EventFd.create(machine, { flags }));
  const fds = events.map(({ file }) => table.install(file));
  const epoll = Epoll.create(machine);
  const epfd = table.install(epoll.file);
  const watch = (n: number, mask: number) => epoll.add(fds[n]!, { events: mask, data: BigInt(n) });
  const ready = (maxEvents = 64) => epoll.wait({ timeoutMs: 0, maxEvents }).map(({ data }) => Number(data));
  return { table, events, fds, epoll, epfd, watch, ready };
}

describe('Epoll', () => {
  it('tells of files in the order in which they became ready', () => {
    using machine = testMachine();
    const { events, watch, ready } = setUp(machine, 4);
    for (let n = 0; n < 4; n++) watch(n, IN);
    expect(ready()).toEqual([]);
    for (const n of [2, 0, 3]) events[n]!.signal();
    expect(ready()).toEqual([2, 0, 3]);
    FdTable.exit(machine);
  });

  it('level-triggered: tells again and again, the others first', () => {
    using machine = testMachine();
    const { events, watch, ready } = setUp(machine, 3);
    for (let n = 0; n < 3; n++) watch(n, IN);
    for (const n of [0, 1, 2]) events[n]!.signal();
    expect([ready(2), ready(2), ready(2)]).toEqual([
      [0, 1],
      [2, 0],
      [1, 2],
    ]);
    events[1]!.read();
    expect(ready()).toEqual([0, 2]);
    FdTable.exit(machine);
  });

  it('edge-triggered: tells once for each time that the file wakes its waiters', () => {
    using machine = testMachine();
    const { events, watch, ready } = setUp(machine, 2);
    watch(0, IN | ET);
    events[0]!.signal();
    expect([ready(), ready()]).toEqual([[0], []]);
    events[0]!.signal();
    expect([ready(), ready()]).toEqual([[0], []]);
    events[1]!.signal();
    watch(1, IN | ET);
    expect([ready(), ready()]).toEqual([[1], []]);
    FdTable.exit(machine);
  });

  it('keeps what does not fit in front of what becomes ready meanwhile', () => {
    using machine = testMachine();
    const { events, watch, ready } = setUp(machine, 4);
    for (let n = 0; n < 4; n++) watch(n, IN | ET);
    for (const n of [3, 1, 0]) events[n]!.signal();
    expect(ready(1)).toEqual([3]);
    events[2]!.signal();
    events[3]!.signal();
    expect(ready()).toEqual([1, 0, 2, 3]);
    FdTable.exit(machine);
  });

  it('one-shot: tells once, until the registration is changed', () => {
    using machine = testMachine();
    const { events, watch, ready, epoll, fds } = setUp(machine, 1);
    watch(0, IN | ONESHOT);
    events[0]!.signal();
    expect(ready()).toEqual([0]);
    events[0]!.signal();
    expect(ready()).toEqual([]);
    epoll.modify(fds[0]!, { events: IN | ONESHOT, data: 9n });
    expect(ready()).toEqual([9]);
    FdTable.exit(machine);
  });

  it('passes over a wake-up for events that were not asked for', () => {
    using machine = testMachine();
    const { events, watch, ready, epoll, fds } = setUp(machine, 1);
    watch(0, OUT | ET);
    expect(ready()).toEqual([0]);
    events[0]!.signal();
    expect(ready()).toEqual([]);
    epoll.modify(fds[0]!, { events: IN | OUT | ET, data: 0n });
    expect(epoll.wait({ timeoutMs: 0 })).toEqual([{ events: IN | OUT, data: 0n }]);
    FdTable.exit(machine);
  });

  it('carries 64 bits of the caller', () => {
    using machine = testMachine();
    const { events, epoll, fds } = setUp(machine, 1);
    const data = 0xfedcba9876543210n;
    epoll.add(fds[0]!, { events: IN, data });
    events[0]!.signal();
    expect(epoll.wait({ timeoutMs: 0 })).toEqual([{ events: IN, data }]);
    FdTable.exit(machine);
  });

  it('makes the checks of epoll_ctl in their order', () => {
    using machine = testMachine();
    registerFileOps(machine, { name: 'plain', release: () => {} });
    const { table, watch, epoll, epfd, fds } = setUp(machine, 2);
    const plain = table.install(File.create(machine, { type: 'plain', priv: 1, flags: 0 }));
    const event = { events: IN, data: 0n };
    expect(() => epoll.add(99, event)).toThrow(kernelError('EBADF'));
    expect(() => epoll.add(plain, event)).toThrow(kernelError('EPERM'));
    expect(() => epoll.add(epfd, event)).toThrow(/EINVAL.*cannot watch itself/);
    watch(0, IN);
    expect(() => watch(0, OUT)).toThrow(kernelError('EEXIST'));
    const copy = table.dup(fds[0]!);
    epoll.add(copy, event);
    epoll.remove(copy);
    expect(() => epoll.remove(copy)).toThrow(kernelError('ENOENT'));
    expect(() => epoll.modify(fds[1]!, event)).toThrow(kernelError('ENOENT'));
    expect(() => epoll.add(fds[1]!, { events: IN | EXCLUSIVE | ONESHOT, data: 0n })).toThrow(kernelError('EINVAL'));
    epoll.add(fds[1]!, { events: IN | EXCLUSIVE, data: 0n });
    expect(() => epoll.modify(fds[1]!, event)).toThrow(kernelError('EINVAL'));
    expect(() => epoll.modify(fds[0]!, { events: IN | EXCLUSIVE, data: 0n })).toThrow(kernelError('EINVAL'));
    expect(() => epoll.wait({ maxEvents: 0 })).toThrow(kernelError('EINVAL'));
    expect(() => Epoll.of(table.get(plain))).toThrow(/a plain file is no epoll file/);
    table
      .entries()
      .find(({ fd }) => fd === plain)!
      .file.put();
    FdTable.exit(machine);
  });

  it('forgets a file that is closed for good', () => {
    using machine = testMachine();
    const { table, events, watch, ready, fds, epfd } = setUp(machine, 2);
    watch(0, IN);
    watch(1, IN);
    const copy = table.dup(fds[0]!);
    events[0]!.signal();
    table.close(fds[0]!);
    expect(ready()).toEqual([0]);
    table.close(copy);
    expect(ready()).toEqual([]);
    expect(table.fdinfo(epfd).slice(2)).toEqual([`tfd: ${'1'.padStart(8)} events:       19 data:                1`]);
    expect(table.link(epfd)).toBe('anon_inode:[eventpoll]');
    FdTable.exit(machine);
  });

  it('can be closed before what it watches', () => {
    using machine = testMachine();
    const { table, events, watch, epfd } = setUp(machine, 1);
    watch(0, IN);
    table.close(epfd);
    events[0]!.signal();
    expect(machine.verify().counts['epoll'] ?? 0).toBe(0);
    FdTable.exit(machine);
  });

  it('can be polled, and watched by another epoll', () => {
    using machine = testMachine();
    const { table, events, watch, epfd, epoll } = setUp(machine, 1);
    watch(0, IN);
    const outer = Epoll.create(machine);
    table.install(outer.file);
    outer.add(epfd, { events: IN, data: 5n });
    expect(poll(machine, [{ file: epoll.file, events: IN }], { timeoutMs: 0 })).toEqual([0]);
    expect(outer.wait({ timeoutMs: 0 })).toEqual([]);
    events[0]!.signal();
    expect(poll(machine, [{ file: epoll.file, events: IN }], { timeoutMs: 0 })).toEqual([IN]);
    expect(outer.wait({ timeoutMs: 0 })).toEqual([{ events: IN, data: 5n }]);
    events[0]!.read();
    expect(outer.wait({ timeoutMs: 0 })).toEqual([]);
    FdTable.exit(machine);
  });

  it('refuses loops, and towers of more than five', () => {
    using machine = testMachine();
    const table = FdTable.current(machine);
    const tower = Array.from({ length: 6 }, () => Epoll.create(machine));
    const fds = tower.map(({ file }) => table.install(file));
    const put = (outer: number, inner: number) => tower[outer]!.add(fds[inner]!, { events: IN, data: 0n });
    for (let n = 0; n < 4; n++) put(n, n + 1);
    expect(() => put(4, 0)).toThrow(kernelError('ELOOP'));
    expect(() => put(1, 0)).toThrow(kernelError('ELOOP'));
    expect(() => put(4, 5)).toThrow(kernelError('ELOOP'));
    expect(() => put(5, 0)).toThrow(kernelError('ELOOP'));
    FdTable.exit(machine);
  });

  it('reports running out of memory with nothing changed', () => {
    using machine = testMachine();
    const { events, watch, ready } = setUp(machine, 1);
    for (const site of ['ep_insert', 'ep_ptable_queue_proc']) {
      machine.faults.failNth(1, { site });
      expect(() => watch(0, IN)).toThrow(kernelError('ENOMEM'));
    }
    for (const site of ['ep_alloc', 'eventpoll.file']) {
      machine.faults.failNth(1, { site });
      expect(() => Epoll.create(machine)).toThrow(kernelError('ENOMEM'));
    }
    events[0]!.signal();
    expect(ready()).toEqual([]);
    watch(0, IN);
    expect(ready()).toEqual([0]);
    FdTable.exit(machine);
  });

  it('ends with EINTR when a signal is pending and nothing is ready', () => {
    using machine = testMachine();
    const { events, watch, epoll } = setUp(machine, 1);
    watch(0, IN);
    machine.interrupt(machine.tid);
    expect(() => epoll.wait({ interruptible: true })).toThrow(kernelError('EINTR'));
    events[0]!.signal();
    expect(epoll.wait({ interruptible: true })).toHaveLength(1);
    machine.clearSignal();
    FdTable.exit(machine);
  });

  it('has an event loop go on when something is ready, or the time is up', async () => {
    using machine = testMachine();
    const { events, watch, epoll } = setUp(machine, 1);
    watch(0, IN);
    expect(await epoll.waitAsync({ timeoutMs: 5 })).toEqual([]);
    const waiting = epoll.waitAsync({ timeoutMs: LIMIT_MS });
    await new Promise(setImmediate);
    events[0]!.signal();
    expect(await waiting).toEqual([{ events: IN, data: 0n }]);
    FdTable.exit(machine);
  });
});

describe('Epoll in workers', () => {
  it('wakes a waiter', async () => {
    using machine = testMachine();
    const { events, watch, epfd } = setUp(machine, 3);
    for (let n = 0; n < 3; n++) watch(n, IN);
    const { result, task } = await startPollJob<[number, number][]>(machine, { job: 'epoll', fds: [epfd] });
    await untilAsleep(machine, task);
    events[1]!.signal();
    expect(await result).toEqual([[IN, 1]]);
    FdTable.exit(machine);
  });

  it('gives every event to one of many, edge-triggered', { timeout: 30_000 }, async () => {
    using machine = testMachine();
    const { events, fds, epoll, epfd } = setUp(machine, 4, OpenFlags.NONBLOCK);
    for (const fd of fds) epoll.add(fd, { events: IN | ET, data: BigInt(fd) });
    const done = machine.root('done', 16);
    const rounds = 2000;
    const drains = await Promise.all(
      [0, 1].map((n) => startPollJob<number>(machine, { job: 'drain', fds: [epfd], rounds, done }, `drain${n}`)),
    );
    for (let n = 0; n < rounds; n++) events[n % 4]!.signal();
    const taken = await Promise.all(drains.map(({ result }) => result));
    expect(taken[0]! + taken[1]!).toBe(rounds);
    expect(atomicLoad(machine.mem, done)).toBe(rounds);
    FdTable.exit(machine);
  });

  it('and what it watches may be closed at the same time', async () => {
    using machine = testMachine();
    const { table, fds, epfd, watch } = setUp(machine, 1);
    watch(0, IN);
    const done = machine.root('done', 16);
    const { result } = await startPollJob(machine, { job: 'close-slowly', fds: [epfd], done });
    while (atomicLoad(machine.mem, done) === 0) machine.wait(done, 0, 'done', LIMIT_MS);
    table.close(fds[0]!);
    await result;
    expect([table.size, machine.verify().counts['epoll'] ?? 0]).toEqual([0, 0]);
  });

  it('goes on when a task died that was waiting', async () => {
    using machine = testMachine();
    const { events, watch, epfd, ready } = setUp(machine, 1);
    watch(0, IN);
    const { worker, task } = await startPollJob(machine, { job: 'epoll', fds: [epfd] });
    await untilAsleep(machine, task);
    await worker.terminate();
    machine.reap(task);
    events[0]!.signal();
    expect(ready()).toEqual([0]);
    expect(machine.verify().errors).toEqual([]);
    FdTable.exit(machine);
  });
});
