import { DmaBuf, defineExporter, poll, PollEvents, registerDrivers, SgTable, SignalRight } from '@dmabuf-emu/core';
import { atomicLoad, Completion, type Machine } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { testFences } from './fences.test-worker.ts';

/** What a test of polled buffers asks of a worker. */
export interface BufferPollJob {
  readonly job: 'poll' | 'poll-until' | 'signal';
  /** Completion that is completed when the worker is about to do it. */
  readonly ready: number;
  readonly dmabuf?: number;
  readonly fence?: number;
  readonly events?: number;
  readonly timeoutMs?: number;
  /** Word that ends it when it is set. */
  readonly stop?: number;
  /** Name of the buffer's exporter. */
  readonly exporter: string;
}

function pollUntil(machine: Machine, { dmabuf = 0, events = 0, stop = 0 }: BufferPollJob): number {
  const { file } = DmaBuf.of(machine, dmabuf);
  let ready = 0;
  while (atomicLoad(machine.mem, stop) === 0) {
    const [found] = poll(machine, [{ file, events }], { timeoutMs: 20 });
    if (found === events) ready++;
    else if (found !== 0) throw new Error(`poll says ${found}`);
  }
  return ready;
}

await runTestWorker<BufferPollJob, unknown>((machine, job) => {
  machine.drivers.register('fence', testFences.name, testFences);
  const ready = (): void => new Completion(machine, job.ready, 'ready').complete();
  if (job.job === 'signal') {
    ready();
    SignalRight.adopt(machine, job.fence!).signal();
    return 0;
  }
  const exporter = defineExporter({
    name: job.exporter,
    map: (attachment) => SgTable.from(attachment.machine, [], 'map'),
    unmap: (_, table) => table.free(),
    release: () => {},
  });
  registerDrivers(machine, [exporter]);
  ready();
  if (job.job === 'poll-until') return pollUntil(machine, job);
  const { file } = DmaBuf.of(machine, job.dmabuf!);
  const { events = PollEvents.IN | PollEvents.OUT, timeoutMs = -1 } = job;
  return poll(machine, [{ file, events }], { timeoutMs });
});
