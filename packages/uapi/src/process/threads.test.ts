import { type Machine } from '@dmabuf-emu/shm';
import { startTestWorker, type TestWorker } from '@dmabuf-emu/shm/testing';
import { abi, type Process, sys } from '@dmabuf-emu/uapi';
import { expect, test } from 'vitest';
import { programRig } from './process.fixture.ts';

const URL_OF_WORKER = new URL(import.meta.resolve('#dist/process/threads.test-worker.js'));
const LIMIT_MS = 20_000;
const RDWR = 2;

/** A heap buffer that a writer's fence is pending on, and the fence's timeline. */
function busyBuffer(process: Process): { fd: number; timeline: number } {
  const call = <F extends object>(
    fd: number,
    { struct, number }: abi.IoctlCommand<abi.AbiStruct<F>>,
    values: Partial<abi.AbiValues<F>>,
  ): abi.AbiValues<F> =>
    process.memory.stack.with(struct.encode(values), (address) => {
      sys.ioctl(process, fd, number, address);
      return process.memory.get(address, struct);
    });
  const heap = sys.open(process, '/dev/dma_heap/system', RDWR);
  const { fd } = call(heap, abi.DMA_HEAP_IOCTL_ALLOC, { len: 4096n, fd_flags: RDWR });
  const timeline = sys.open(process, '/sys/kernel/debug/sync/sw_sync', RDWR);
  const { fence } = call(timeline, abi.SW_SYNC_IOC_CREATE_FENCE, { value: 1 });
  call(fd, abi.DMA_BUF_IOCTL_IMPORT_SYNC_FILE, { flags: 2, fd: fence });
  return { fd, timeline };
}

async function startAsleep(machine: Machine, process: Process, fd: number): Promise<TestWorker<number>> {
  const worker = startTestWorker<number>(URL_OF_WORKER, machine, { process: process.handle, fd }, 'second');
  const asleep = (): boolean => machine.tasks().some(({ name, state }) => name === 'second' && state === 'sleeping');
  for (const end = performance.now() + LIMIT_MS; !asleep();) {
    if (performance.now() > end) throw new Error('the second thread does not wait');
    await new Promise(setImmediate);
  }
  return worker;
}

test(
  'threads share descriptors: one waits in an ioctl for what the other does',
  async () => {
    using rig = programRig();
    const { machine, process } = rig;
    const { fd, timeline } = busyBuffer(process);
    const { result } = await startAsleep(machine, process, fd);
    const { struct, number } = abi.SW_SYNC_IOC_INC;
    process.memory.stack.with(struct.encode({ value: 1 }), (address) => sys.ioctl(process, timeline, number, address));
    expect(await result).toBe(0);
  },
  LIMIT_MS,
);

test(
  'a signal ends the wait of a thread',
  async () => {
    using rig = programRig();
    const { machine, process } = rig;
    const { fd } = busyBuffer(process);
    const { result } = await startAsleep(machine, process, fd);
    machine.interrupt(machine.tasks().find(({ name }) => name === 'second')!.id);
    await expect(result).rejects.toThrow('ERESTARTSYS');
  },
  LIMIT_MS,
);

test(
  'a thread that dies in an ioctl is taken out of its program, which goes on',
  async () => {
    using rig = programRig();
    const { machine, process } = rig;
    const { fd } = busyBuffer(process);
    const { worker } = await startAsleep(machine, process, fd);
    const { id } = machine.tasks().find(({ name }) => name === 'second')!;
    await worker.terminate();
    machine.reap(id);
    expect(sys.readFdLink(process, fd)).toBe('/dmabuf:');
    sys.close(process, fd);
  },
  LIMIT_MS,
);
