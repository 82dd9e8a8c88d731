import { Fence } from '@dmabuf-emu/core';
import { mockFence, mockOps } from '#dist/fence/mock-fence.test-worker.js';
import { atomicExchange, atomicLoad, atomicStore } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { startJob } from './fence-worker.fixture.ts';

describe('fences under several threads', () => {
  it('count references exactly', async () => {
    using machine = testMachine();
    const f = mockFence(machine);
    const job = { job: 'get-put', fences: [f.ref], rounds: 100_000, at: machine.root('hits', 16) } as const;
    const workers = await Promise.all(['a', 'b'].map((name) => startJob(machine, job, { name })));
    for (let i = 0; i < 1000; i++) f.get().put();
    await Promise.all(workers.map((w) => w.result));
    expect(f.refCount).toBe(1);
    f.put();
  });

  it('give references to slots in use only, while these come, go and are used again', async () => {
    using machine = testMachine();
    const slot = machine.root('slot', 16);
    const job = { job: 'try-get', at: slot } as const;
    const workers = await Promise.all(['a', 'b'].map((name) => startJob<number>(machine, job, { ready: true, name })));
    for (let n = 1; n <= 40_000; n++) {
      const right = Fence.create(machine, { ops: mockOps, context: 1, seqno: n });
      if (n % 3 === 0) right.fence.addCallback(() => {});
      right.fence.get();
      const old = atomicExchange(machine.mem, slot, right.fence.ref);
      right.signal();
      if (old !== 0) Fence.of(machine, old).put();
    }
    atomicStore(machine.mem, slot + 1, 1);
    for (const { result } of workers) expect(await result).toBeGreaterThan(0);
    Fence.of(machine, atomicLoad(machine.mem, slot)).put();
  });
});
