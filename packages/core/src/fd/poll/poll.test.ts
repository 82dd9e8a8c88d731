import {
  EventFd,
  FdTable,
  File,
  poll,
  pollAsync,
  PollEvents,
  pollFile,
  PollTable,
  registerFileOps,
} from '@dmabuf-emu/core';
import { KernelError } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { LIMIT_MS, startPollJob, untilAsleep } from './poll-worker.fixture.ts';

const { IN, OUT, NVAL, HUP, ERR } = PollEvents;
const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });

describe('poll', () => {
  it('tells what is ready, of what was asked', () => {
    using machine = testMachine();
    const event = EventFd.create(machine);
    const ask = (events: number) => poll(machine, [{ file: event.file, events }], { timeoutMs: 0 });
    expect(ask(IN)).toEqual([0]);
    expect(ask(IN | OUT)).toEqual([OUT]);
    event.write(3n);
    expect(ask(IN)).toEqual([IN]);
    expect(ask(IN | OUT)).toEqual([IN | OUT]);
    event.file.put();
  });

  it('tells ERR and HUP unasked, and takes a file that cannot be polled for ready', () => {
    using machine = testMachine();
    registerFileOps(machine, { name: 'hung', release: () => {}, poll: () => IN | HUP | ERR });
    registerFileOps(machine, { name: 'plain', release: () => {} });
    const [hung, plain] = ['hung', 'plain'].map((type) => File.create(machine, { type, priv: 1, flags: 0 }));
    expect(poll(machine, [{ file: hung!, events: 0 }])).toEqual([HUP | ERR]);
    expect(poll(machine, [{ file: plain!, events: IN }])).toEqual([IN]);
    expect(pollFile(plain!)).toBe(IN | OUT | PollEvents.RDNORM | PollEvents.WRNORM);
    hung!.put();
    plain!.put();
  });

  it('passes over negative descriptors and reports those that are not open', () => {
    using machine = testMachine();
    const asked = [-1, 17].map((fd) => ({ fd, events: IN }));
    expect(poll(machine, asked, { timeoutMs: LIMIT_MS })).toEqual([0, NVAL]);
    expect(poll(machine, [{ fd: -5, events: IN }], { timeoutMs: 1 })).toEqual([0]);
    expect(poll(machine, [], { timeoutMs: 0 })).toEqual([]);
  });

  it('tells the file which events matter, and registers once at most', () => {
    using machine = testMachine({ clock: 'manual' });
    const event = EventFd.create(machine);
    const seen: PollTable[] = [];
    registerFileOps(machine, {
      name: 'watched',
      release: () => {},
      poll: (_file, table) => {
        seen.push(table!);
        return pollFile(event.file, table);
      },
    });
    const file = File.create(machine, { type: 'watched', priv: 1, flags: 0 });
    poll(machine, [{ file, events: IN }], { timeoutMs: 0 });
    expect(seen.map((table) => table.requested)).toEqual([IN | ERR | HUP]);
    expect(event.file.count).toBe(1);
    event.signal();
    poll(machine, [
      { file: event.file, events: IN },
      { file, events: IN },
    ]);
    expect(file.count).toBe(1);
    file.put();
    event.file.put();
  });

  it('waits for the timeout on the clock of the machine', async () => {
    using machine = testMachine({ clock: 'manual' });
    const event = EventFd.create(machine);
    const waiting = pollAsync(machine, [{ file: event.file, events: IN }], { timeoutMs: 50 });
    await new Promise(setImmediate);
    expect(event.file.count).toBe(2);
    machine.clock.advance(49);
    let found: number[] | undefined;
    void waiting.then((events) => (found = events));
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(found).toBeUndefined();
    machine.clock.advance(1);
    expect(await waiting).toEqual([0]);
    expect(event.file.count).toBe(1);
    event.file.put();
  });

  it('has an event loop go on when it is woken', async () => {
    using machine = testMachine();
    const events = [0, 1].map(() => EventFd.create(machine));
    const waiting = pollAsync(
      machine,
      events.map(({ file }) => ({ file, events: IN })),
      { timeoutMs: LIMIT_MS },
    );
    await new Promise(setImmediate);
    events[1]!.signal();
    expect(await waiting).toEqual([0, IN]);
    for (const { file } of events) file.put();
  });

  it('reports EINTR when a signal is pending and nothing is ready', () => {
    using machine = testMachine();
    const event = EventFd.create(machine);
    machine.interrupt(machine.tid);
    const ask = () => poll(machine, [{ file: event.file, events: IN }], { interruptible: true });
    expect(ask).toThrow(kernelError('EINTR'));
    expect(event.file.count).toBe(1);
    event.signal();
    expect(ask()).toEqual([IN]);
    machine.clearSignal();
    event.file.put();
  });

  it('reports ENOMEM with nothing left behind', () => {
    using machine = testMachine();
    const events = [0, 1, 2].map(() => EventFd.create(machine));
    machine.faults.failNth(2, { site: 'poll_get_entry' });
    expect(() =>
      poll(
        machine,
        events.map(({ file }) => ({ file, events: IN })),
      ),
    ).toThrow(kernelError('ENOMEM'));
    for (const { file } of events) {
      expect(file.count).toBe(1);
      file.put();
    }
  });

  it('counts the reference of a poll that is pending, and ends it when the task leaves', async () => {
    using machine = testMachine();
    const event = EventFd.create(machine);
    const table = FdTable.current(machine);
    table.install(event.file);
    const waiting = pollAsync(machine, [{ file: event.file, events: IN }]);
    await new Promise(setImmediate);
    const report = machine.verify();
    expect(report.errors).toEqual([]);
    expect(report.leaks).toEqual([]);
    expect(report.counts['poll']).toBe(1);
    machine.leave();
    expect(await waiting.catch((error: unknown) => (error as KernelError).code)).toBe('EINTR');
  });
});

describe('poll in workers', () => {
  it.each([0, 1, 2])('is woken by file %i of three', async (n) => {
    using machine = testMachine();
    const events = [0, 1, 2].map(() => EventFd.create(machine));
    const fds = events.map(({ file }) => FdTable.current(machine).install(file));
    const { result, task } = await startPollJob<number[]>(machine, { job: 'poll', fds });
    await untilAsleep(machine, task);
    events[n]!.signal();
    expect(await result).toEqual(fds.map((_, at) => (at === n ? IN : 0)));
    FdTable.exit(machine);
  });

  it('keeps a file that is closed meanwhile', async () => {
    using machine = testMachine();
    const event = EventFd.create(machine);
    const table = FdTable.current(machine);
    const fd = table.install(event.file.get());
    const { result, task } = await startPollJob<number[]>(machine, { job: 'poll', fds: [fd] });
    await untilAsleep(machine, task);
    table.close(fd);
    expect(event.file.count).toBe(2);
    event.signal();
    expect(await result).toEqual([NVAL]);
    expect(event.file.count).toBe(1);
    event.file.put();
  });

  it('ends with EINTR when its task is signalled', async () => {
    using machine = testMachine();
    const fds = [FdTable.current(machine).install(EventFd.create(machine).file)];
    const { result, task } = await startPollJob<string>(machine, { job: 'poll', fds, interruptible: true });
    await untilAsleep(machine, task);
    machine.interrupt(task);
    expect(await result).toBe('EINTR');
    FdTable.exit(machine);
  });

  it('is undone when its task dies', async () => {
    using machine = testMachine();
    const event = EventFd.create(machine);
    const fd = FdTable.current(machine).install(event.file);
    const { worker, task } = await startPollJob(machine, { job: 'poll-and-hang', fds: [fd] });
    await untilAsleep(machine, task);
    expect(event.file.count).toBe(2);
    await worker.terminate();
    machine.reap(task);
    expect(event.file.count).toBe(1);
    event.signal();
    expect(machine.verify()).toMatchObject({ ok: true, leaks: [], errors: [] });
    FdTable.exit(machine);
  });
});
