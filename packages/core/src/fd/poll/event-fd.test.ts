import { EventFd, FdTable, File, OpenFlags, poll, PollEvents, registerFileOps } from '@dmabuf-emu/core';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { startPollJob, untilAsleep } from './poll-worker.fixture.ts';

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });
const MAX = 2n ** 64n - 1n;

describe('EventFd', () => {
  it('adds up what is written and gives it all', () => {
    using machine = testMachine();
    const event = EventFd.create(machine, { initial: 5, flags: OpenFlags.NONBLOCK });
    event.write(2n ** 40n);
    expect(event.read()).toBe(2n ** 40n + 5n);
    expect(() => event.read()).toThrow(kernelError('EAGAIN'));
    event.write(0n);
    expect(() => event.read()).toThrow(kernelError('EAGAIN'));
    event.file.put();
  });

  it('gives 1 at a time when it is a semaphore', () => {
    using machine = testMachine();
    const event = EventFd.create(machine, { initial: 2, semaphore: true, flags: OpenFlags.NONBLOCK });
    expect([event.read(), event.read()]).toEqual([1n, 1n]);
    expect(() => event.read()).toThrow(kernelError('EAGAIN'));
    event.file.put();
  });

  it('is full at 2^64 - 2 for writers; a driver may go one further', () => {
    using machine = testMachine();
    const event = EventFd.create(machine, { flags: OpenFlags.NONBLOCK });
    const ready = () => poll(machine, [{ file: event.file, events: PollEvents.IN | PollEvents.OUT }], { timeoutMs: 0 });
    expect(() => event.write(MAX)).toThrow(kernelError('EINVAL'));
    event.write(MAX - 2n);
    expect(ready()).toEqual([PollEvents.IN | PollEvents.OUT]);
    event.write(1n);
    expect(ready()).toEqual([PollEvents.IN]);
    expect(() => event.write(1n)).toThrow(kernelError('EAGAIN'));
    event.signal();
    expect(ready()).toEqual([PollEvents.IN | PollEvents.ERR]);
    event.signal();
    expect(event.read()).toBe(MAX);
    event.file.put();
  });

  it('shows itself in fdinfo and links', () => {
    using machine = testMachine();
    const table = FdTable.current(machine);
    const fd = table.install(EventFd.create(machine, { initial: 255 }).file);
    expect(table.fdinfo(fd).slice(2)).toEqual([
      'eventfd-count:               ff',
      'eventfd-id: 0',
      'eventfd-semaphore: 0',
    ]);
    expect(table.link(fd)).toBe('anon_inode:[eventfd]');
    table.close(fd);
  });

  it('refuses files of another kind', () => {
    using machine = testMachine();
    registerFileOps(machine, { name: 'plain', release: () => {} });
    const file = File.create(machine, { type: 'plain', priv: 1, flags: 0 });
    expect(() => EventFd.of(file)).toThrow(/EINVAL.*a plain file is no eventfd/);
    file.put();
  });

  it('unwinds when memory or files run out', () => {
    using machine = testMachine();
    for (const site of ['eventfd_ctx', 'eventfd.file']) {
      machine.faults.failNth(1, { site });
      expect(() => EventFd.create(machine)).toThrow(kernelError('ENOMEM'));
    }
    expect(File.openCount(machine)).toBe(0);
  });

  it('has readers wait, and end with ERESTARTSYS when a signal is pending', async () => {
    using machine = testMachine();
    const event = EventFd.create(machine);
    const fds = [FdTable.current(machine).install(event.file)];
    const { result, task } = await startPollJob<number>(machine, { job: 'read', fds });
    await untilAsleep(machine, task);
    event.write(7n);
    expect(await result).toBe(7);
    machine.interrupt(machine.tid);
    expect(() => event.read()).toThrow(kernelError('ERESTARTSYS'));
    machine.clearSignal();
    FdTable.exit(machine);
  });

  it('loses no signal of many tasks', async () => {
    using machine = testMachine();
    const event = EventFd.create(machine);
    const fds = [FdTable.current(machine).install(event.file)];
    const jobs = await Promise.all(
      [0, 1, 2].map((n) => startPollJob<number>(machine, { job: 'signal', fds, rounds: 5000 }, `signaller${n}`)),
    );
    await Promise.all(jobs.map(({ result }) => result));
    expect(event.read()).toBe(15_000n);
    FdTable.exit(machine);
  });
});
