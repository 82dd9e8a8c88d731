import { Epoll, EventFd, FdTable, poll, PollEvents } from '@dmabuf-emu/core';
import {
  atomicAdd,
  atomicLoad,
  atomicStore,
  Completion,
  isKernelError,
  type Machine,
  setSyncHook,
} from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';

/** What a poll test asks of a worker. */
export interface PollJob {
  readonly job: 'poll' | 'epoll' | 'drain' | 'read' | 'signal' | 'poll-and-hang' | 'close-slowly';
  /** Completion that is completed when the worker is about to do it. */
  readonly ready: number;
  /** Process that it joins. */
  readonly table: number;
  readonly fds: readonly number[];
  readonly rounds?: number;
  readonly interruptible?: boolean;
  /** Word that counts what was done by all. */
  readonly done?: number;
}

const LIMIT_MS = 10_000;

/** Takes events one at a time from an epoll of eventfds until `rounds` were taken by all workers together. */
function drain(machine: Machine, { fds, rounds = 0, done = 0 }: PollJob): number {
  const table = FdTable.current(machine);
  const epoll = Epoll.of(table.get(fds[0]!));
  let taken = 0;
  while (atomicLoad(machine.mem, done) < rounds) {
    for (const { data } of epoll.wait({ maxEvents: 1, timeoutMs: 20 })) {
      const event = EventFd.of(table.get(Number(data)));
      try {
        const count = Number(event.read());
        taken += count;
        atomicAdd(machine.mem, done, count);
      } catch (error) {
        if (!isKernelError(error, 'EAGAIN')) throw error;
      }
      event.file.put();
    }
  }
  epoll.file.put();
  return taken;
}

/** Closes an epoll file, and stops in the middle until the test waits for its mutex. */
function closeSlowly(machine: Machine, { fds, done = 0 }: PollJob): void {
  const former = setSyncHook((label) => {
    if (label !== 'slab.free') return;
    setSyncHook(former);
    atomicStore(machine.mem, done, 1);
    machine.wake(done);
    const end = machine.clock.nowMs() + LIMIT_MS;
    while (!machine.tasks().some((task) => task.waitingFor?.label === 'eventpoll.mtx')) {
      if (machine.clock.nowMs() > end) throw new Error('nobody waits for the mutex');
      machine.wait(done, 1, 'nap', 1);
    }
  });
  FdTable.current(machine).close(fds[0]!);
}

function pollOnce(machine: Machine, { fds, interruptible = false }: PollJob): readonly number[] | string {
  try {
    return poll(
      machine,
      fds.map((fd) => ({ fd, events: PollEvents.IN })),
      { timeoutMs: LIMIT_MS, interruptible },
    );
  } catch (error) {
    machine.clearSignal();
    return (error as { code: string }).code;
  }
}

await runTestWorker<PollJob, unknown>((machine, job) => {
  const table = FdTable.of(machine, job.table).join();
  EventFd.create(machine).file.put();
  Epoll.create(machine).file.put();
  new Completion(machine, job.ready, 'ready').complete();
  const event = (): EventFd => EventFd.of(table.get(job.fds[0]!));
  switch (job.job) {
    case 'close-slowly':
      return closeSlowly(machine, job);
    case 'poll':
      return pollOnce(machine, job);
    case 'poll-and-hang':
      for (;;) poll(machine, [{ fd: job.fds[0]!, events: PollEvents.PRI }]);
    case 'epoll': {
      const epoll = Epoll.of(table.get(job.fds[0]!));
      const found = epoll.wait({ timeoutMs: LIMIT_MS });
      epoll.file.put();
      return found.map(({ events, data }) => [events, Number(data)]);
    }
    case 'drain':
      return drain(machine, job);
    case 'read': {
      const file = event();
      const count = file.read();
      file.file.put();
      return Number(count);
    }
    case 'signal': {
      const file = event();
      for (let n = 0; n < (job.rounds ?? 0); n++) file.signal();
      file.file.put();
      return job.rounds;
    }
  }
});
