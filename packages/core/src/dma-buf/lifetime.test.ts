import {
  DmaBuf,
  dmaBufs,
  FdTable,
  File,
  ModuleOwner,
  OpenFlags,
  registerDrivers,
  registerFileOps,
  ResvUsage,
} from '@dmabuf-emu/core';
import { Mutex } from '@dmabuf-emu/shm';
import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { revocableExporter } from '#dist/dma-buf/revocable-exporter.test-worker.js';
import { pendingFence } from '#dist/dma-buf/fences.test-worker.js';
import { device, exported, recorder } from './recorder.fixture.ts';

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });

describe('fd, get and put (core §1.4)', () => {
  it('hands the reference of the caller over to the descriptor', () => {
    using machine = testMachine();
    const recording = recorder();
    const dmabuf = exported(machine, recording);
    const fd = dmabuf.fd();
    expect(dmabuf.refs).toBe(1);
    FdTable.current(machine).close(fd);
    expect(recording.log).toEqual(['release']);
  });

  it('leaves the reference with the caller when no descriptor is free', () => {
    using machine = testMachine();
    FdTable.create(machine, { limit: 1 }).join();
    const [a, b] = [exported(machine, recorder()), exported(machine, recorder())];
    const fd = a.fd();
    expect(() => b.fd()).toThrow(kernelError('EMFILE'));
    expect(b.refs).toBe(1);
    b.put();
    FdTable.current(machine).close(fd);
  });

  it('gives the buffer of a descriptor out with a reference of its own', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const fd = dmabuf.fd(OpenFlags.CLOEXEC);
    const again = DmaBuf.get(machine, fd);
    expect(again.ref).toBe(dmabuf.ref);
    expect(again.refs).toBe(2);
    FdTable.current(machine).close(fd);
    expect(again.refs).toBe(1);
    again.put();
  });

  it('tells a closed descriptor (EBADF) from one of another kind of file (EINVAL)', () => {
    using machine = testMachine();
    registerFileOps(machine, { name: 'other', release: () => {} });
    const table = FdTable.current(machine);
    const fd = table.install(File.create(machine, { type: 'other', priv: 0, flags: 0 }));
    expect(() => DmaBuf.get(machine, fd)).toThrow(kernelError('EINVAL'));
    expect(() => DmaBuf.get(machine, fd + 1)).toThrow(kernelError('EBADF'));
    expect(() => DmaBuf.get(machine, -1)).toThrow(kernelError('EBADF'));
    table.close(fd);
  });

  it('does not revive a buffer whose last reference is gone', () => {
    using machine = testMachine();
    const seen: boolean[] = [];
    const recording = recorder({ release: (dmabuf) => void seen.push(dmabuf.tryGet()) });
    const dmabuf = exported(machine, recording);
    expect(dmabuf.tryGet()).toBe(true);
    dmabuf.put();
    dmabuf.put();
    expect(seen).toEqual([false]);
    expect(dmabuf.tryGet()).toBe(false);
  });
});

describe('release (core §1.4, §8.4)', () => {
  it('hides the buffer from iterators, then calls the exporter, then drops the module (§7.13 c)', () => {
    using machine = testMachine();
    const listed: number[][] = [];
    const owner = ModuleOwner.load(machine, 'recorder_mod');
    const recording = recorder({
      release: (dmabuf) => {
        listed.push([...dmaBufs(machine)].map((d) => d.ino));
        expect(owner.users).toBe(2 - listed.length + 1);
        expect(dmabuf.resv.isLocked).toBe(false);
      },
    });
    const [a, b] = [exported(machine, recording, { owner }), exported(machine, recording, { owner })];
    expect([...dmaBufs(machine)].map((d) => d.ino)).toEqual([2, 1]);
    a.put();
    expect(listed).toEqual([[2]]);
    b.put();
    expect(listed).toEqual([[2], []]);
    expect(owner.users).toBe(0);
    owner.unload();
  });

  it('drops the fences of its own reservation object after the exporter has seen them', () => {
    using machine = testMachine();
    const recording = recorder({
      release: (dmabuf) => expect(dmabuf.resv.testSignaled(ResvUsage.BOOKKEEP)).toBe(false),
    });
    const dmabuf = exported(machine, recording);
    using right = pendingFence(machine);
    dmabuf.resv.with(() => {
      dmabuf.resv.reserveFences(1);
      dmabuf.resv.addFence(right.fence, ResvUsage.READ);
    });
    expect(right.fence.refCount).toBe(2);
    dmabuf.put();
    expect(recording.log).toEqual(['release']);
    expect(right.fence.refCount).toBe(1);
  });

  it('never runs inside a frame that holds a lock', () => {
    using machine = testMachine();
    const recording = recorder();
    const dmabuf = exported(machine, recording);
    new Mutex(machine, machine.root('test.lock', 16), 'test.lock').with(() => {
      dmabuf.resv.lock();
      dmabuf.put();
      dmabuf.resv.unlock();
      expect(recording.log).toEqual([]);
    });
    expect(recording.log).toEqual(['release']);
  });

  it('runs after a put from inside a callback that holds resv', () => {
    using machine = testMachine();
    const first = recorder();
    const victim = exported(machine, first);
    const second = recorder({ unmap: () => victim.put() });
    const dmabuf = exported(machine, second);
    const attachment = dmabuf.attach(device(machine));
    dmabuf.resv.with(() => {
      attachment.unmap(attachment.map(0), 0);
      expect(first.log).toEqual([]);
    });
    expect(first.log).toEqual(['release']);
    dmabuf.detach(attachment);
    dmabuf.put();
  });

  it('warns when attachments are left', () => {
    const machine = testMachine();
    machine.diag.expect('warn', 'dma_buf_release');
    const dmabuf = exported(machine, recorder());
    dmabuf.attach(device(machine));
    dmabuf.put();
    expect(machine.diag.count('warn')).toBe(1);
    expect(machine.verify().leaks).toEqual([expect.stringContaining('dma_buf_attachment')]);
    machine.leave();
  });

  it('is a BUG with a kernel mapping left, before the exporter is called', () => {
    const machine = testMachine();
    const recording = recorder({ vmap: () => ({ address: 4096, isIomem: false }) });
    const dmabuf = exported(machine, recording);
    dmabuf.vmapUnlocked();
    expect(() => dmabuf.put()).toThrow(/released with 1 vmaps/);
    expect(recording.log).toEqual([]);
    expect(machine.tainted).toBe(true);
    machine.leave();
  });
});

describe('dmaBufs (core §1.4)', () => {
  it('lists newest first and survives that the current buffer goes away', () => {
    using machine = testMachine();
    const recording = recorder();
    const made = [1, 2, 3].map(() => exported(machine, recording));
    const order: number[] = [];
    for (const dmabuf of dmaBufs(machine)) {
      order.push(dmabuf.ino);
      made[dmabuf.ino - 1]!.put();
    }
    expect(order).toEqual([3, 2, 1]);
    expect(recording.log).toEqual(['release', 'release', 'release']);
  });

  it('drops its reference when the loop is left early', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    for (const found of dmaBufs(machine)) {
      expect(found.refs).toBe(2);
      break;
    }
    expect(dmabuf.refs).toBe(1);
    dmabuf.put();
  });
});

describe('threads', () => {
  const workerUrl = new URL(import.meta.resolve('#dist/dma-buf/lifetime.test-worker.js'));

  it('make and drop buffers while another walks through the list', async () => {
    using machine = testMachine();
    registerDrivers(machine, [revocableExporter]);
    const workers = [0, 1].map(() => startTestWorker(workerUrl, machine, { job: 'export-churn', rounds: 500 }));
    let running = true;
    const all = Promise.all(workers.map((w) => w.result)).finally(() => {
      running = false;
    });
    all.catch(() => {});
    let seen = 0;
    while (running) {
      let before = Number.POSITIVE_INFINITY;
      for (const dmabuf of dmaBufs(machine)) {
        expect(dmabuf.refs).toBeGreaterThan(0);
        expect(dmabuf.label).toMatch(/^test-revocable#/);
        expect(dmabuf.ino).not.toBe(before);
        before = dmabuf.ino;
        seen++;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    await all;
    expect(seen).toBeGreaterThan(0);
  });

  it('that do not know the exporter are told so, and nothing changes', async () => {
    using machine = testMachine();
    const recording = recorder();
    const dmabuf = exported(machine, recording);
    const errors = await startTestWorker<string[]>(workerUrl, machine, { job: 'touch', dmabuf: dmabuf.ref }, 'stranger')
      .result;
    expect(errors).toHaveLength(4);
    for (const error of errors) {
      expect(error).toContain(
        `UsageError: exporter driver '${recording.exporter.name}' is not registered in thread 'stranger'`,
      );
      expect(error).toContain('call registerDrivers(machine, [...])');
    }
    expect([dmabuf.refs, dmabuf.attachments(), recording.log]).toEqual([1, [], []]);
    dmabuf.put();
  });
});
