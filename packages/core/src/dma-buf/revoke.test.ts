import {
  DMA_BUF_EVENTS,
  registerDrivers,
  type DmaBuf,
  RevocableExport,
  ResvUsage,
  setRevokeBound,
} from '@dmabuf-emu/core';
import { type Machine, taskAt, TaskStruct } from '@dmabuf-emu/shm';
import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { pendingFence } from '#dist/dma-buf/fences.test-worker.js';
import {
  exportRevocable,
  mapObedient,
  mapsOf,
  obedientImporter,
  revocableOf,
  RevocableStruct,
  stubbornImporter,
} from '#dist/dma-buf/revocable-exporter.test-worker.js';
import { device, exported, plainImporter, recorder, revocableImporter } from './recorder.fixture.ts';

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });
const workerUrl = new URL(import.meta.resolve('#dist/dma-buf/revoke.test-worker.js'));

function addFence(dmabuf: DmaBuf, machine: Machine, usage: (typeof ResvUsage)[keyof typeof ResvUsage]) {
  const right = pendingFence(machine);
  dmabuf.resv.with(() => {
    dmabuf.resv.reserveFences(1);
    dmabuf.resv.addFence(right.fence, usage);
  });
  return right;
}

describe('invalidateMappings (core §1.13, §5.9 R4)', () => {
  it('tells every importer that can be told once, newest first, with resv held, pinned or not', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder({}, { dynamic: true }));
    const told: [number, boolean][] = [];
    const importer = revocableImporter((a) => void told.push([a.ref, a.dmabuf.resv.heldByMe]));
    const made = [
      dmabuf.attachDynamic(device(machine), importer),
      dmabuf.attach(device(machine)),
      dmabuf.attachDynamic(device(machine), plainImporter),
      dmabuf.attachDynamic(device(machine), importer),
    ];
    dmabuf.resv.with(() => {
      made[0]!.pin();
      dmabuf.invalidateMappings();
      made[0]!.unpin();
    });
    expect(told).toEqual([
      [made[3]!.ref, true],
      [made[0]!.ref, true],
    ]);
    for (const attachment of made) dmabuf.detach(attachment);
    dmabuf.put();
  });

  it('is refused without resv', () => {
    using machine = testMachine();
    machine.diag.expect('violation', 'resv-not-held');
    const dmabuf = exported(machine, recorder());
    expect(() => dmabuf.invalidateMappings()).toThrow(kernelError('EINVAL'));
    dmabuf.put();
  });

  it('lets importers map, unmap and pin from inside the callback', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder({}, { dynamic: true }));
    const importer = revocableImporter((a) => {
      a.pin();
      a.unmap(a.map(0), 0);
      a.unpin();
    });
    const attachment = dmabuf.attachDynamic(device(machine), importer);
    dmabuf.resv.with(() => dmabuf.invalidateMappings());
    expect([attachment.pins, attachment.tables()]).toEqual([0, []]);
    dmabuf.detach(attachment);
    dmabuf.put();
  });

  it('reports an importer that throws, and tells the others all the same', () => {
    using machine = testMachine();
    machine.diag.expect('violation', 'invalidate-threw');
    const dmabuf = exported(machine, recorder());
    let told = 0;
    const broken = revocableImporter(() => {
      throw new TypeError('oops');
    }, 'broken');
    const good = revocableImporter(() => void told++, 'good');
    const made = [good, broken, good].map((importer) => dmabuf.attachDynamic(device(machine), importer));
    dmabuf.resv.with(() => dmabuf.invalidateMappings());
    expect(told).toBe(2);
    expect(machine.diag.records().at(-1)).toMatchObject({
      code: 'invalidate-threw',
      importer: 'broken',
      buffer: dmabuf.label,
      text: expect.stringContaining('oops'),
    });
    for (const attachment of made) dmabuf.detach(attachment);
    dmabuf.put();
  });

  it('is a violation, not a hang, to detach from inside the callback', () => {
    using machine = testMachine();
    machine.diag.expect('violation', 'invalidate-threw');
    machine.diag.expect('lockdep', 'recursive-lock');
    const dmabuf = exported(machine, recorder());
    const attachment = dmabuf.attachDynamic(
      device(machine),
      revocableImporter((a) => a.dmabuf.detach(a)),
    );
    dmabuf.resv.with(() => dmabuf.invalidateMappings());
    expect(attachment.alive).toBe(true);
    dmabuf.detach(attachment);
    dmabuf.put();
  });
});

describe('RevocableExport (core §5)', () => {
  it('follows the six steps (§5.1)', () => {
    using machine = testMachine({ traceEvents: 64 });
    const dmabuf = exportRevocable(machine);
    const revocable = revocableOf(dmabuf);
    const attachment = dmabuf.attachDynamic(device(machine), obedientImporter);
    dmabuf.resv.with(() => mapObedient(machine, attachment.ref));
    const log: string[] = [];
    const held = (what: string) => void log.push(`${what} ${dmabuf.resv.heldByMe} ${mapsOf(dmabuf).live}`);
    expect(revocable.revoke(dmabuf, { onRevoked: () => held('revoked'), onFencesRetired: () => held('fences') })).toBe(
      true,
    );
    expect(log).toEqual(['revoked true 1', 'fences true 0']);
    expect(revocable).toMatchObject({ revoked: true, mapCount: 1 });
    const steps = machine.trace
      .read()
      .filter((e) => ['dma_buf_revoke', 'dma_buf_invalidate_mappings'].includes(e.name));
    expect(steps.map((e) => (e.name === 'dma_buf_revoke' ? e.args[1] : 'told'))).toEqual([1, 2, 3, 'told', 4, 5, 6, 7]);
    dmabuf.detach(attachment);
    dmabuf.put();
  });

  it('lets no map through between revoke and unrevoke (R1), and no attach', () => {
    using machine = testMachine();
    const dmabuf = exportRevocable(machine);
    const revocable = revocableOf(dmabuf);
    const attachment = dmabuf.attachDynamic(device(machine), obedientImporter);
    revocable.revoke(dmabuf);
    expect(() => attachment.mapUnlocked(0)).toThrow(kernelError('ENODEV'));
    expect(() => dmabuf.attachDynamic(device(machine), obedientImporter)).toThrow(kernelError('ENODEV'));
    expect(revocable.unrevoke(dmabuf)).toBe(true);
    attachment.unmapUnlocked(attachment.mapUnlocked(0), 0);
    dmabuf.detach(attachment);
    dmabuf.put();
  });

  it('keeps importers that cannot be told off the list (R5, §5.4)', () => {
    using machine = testMachine();
    const dmabuf = exportRevocable(machine);
    expect(() => dmabuf.attach(device(machine))).toThrow(kernelError('EOPNOTSUPP'));
    expect(() => dmabuf.attachDynamic(device(machine), plainImporter)).toThrow(kernelError('EOPNOTSUPP'));
    expect(dmabuf.attachments()).toEqual([]);
    dmabuf.put();
  });

  it('is idempotent, and can be repeated after unrevoke', () => {
    using machine = testMachine();
    const dmabuf = exportRevocable(machine);
    const revocable = revocableOf(dmabuf);
    expect(revocable.unrevoke(dmabuf)).toBe(false);
    for (let round = 0; round < 3; round++) {
      expect(revocable.revoke(dmabuf)).toBe(true);
      expect(revocable.revoke(dmabuf)).toBe(false);
      expect(revocable.mapCount).toBe(1);
      expect(revocable.unrevoke(dmabuf)).toBe(true);
      expect(revocable.unrevoke(dmabuf)).toBe(false);
    }
    dmabuf.put();
  });

  it('tells importers again on unrevoke; with nothing mapped that harms nobody', () => {
    using machine = testMachine();
    const dmabuf = exportRevocable(machine);
    let told = 0;
    const attachment = dmabuf.attachDynamic(
      device(machine),
      revocableImporter(() => void told++),
    );
    const revocable = revocableOf(dmabuf);
    revocable.revoke(dmabuf);
    revocable.unrevoke(dmabuf);
    expect(told).toBe(2);
    dmabuf.detach(attachment);
    dmabuf.put();
  });

  it('starts revoked when asked to', () => {
    using machine = testMachine();
    const slab = machine.slab(RevocableStruct);
    const ref = slab.alloc('test');
    const revocable = RevocableExport.init(machine, slab.at(ref), RevocableStruct, { revoked: true });
    expect(revocable).toMatchObject({ revoked: true, mapCount: 1 });
    slab.free(ref);
  });

  it.each(['KERNEL', 'WRITE', 'READ', 'BOOKKEEP'] as const)(
    'waits for %s fences, names them when they are late, and waits on (R6)',
    async (usage) => {
      using machine = testMachine();
      machine.diag.expect('violation', 'fence-bound');
      setRevokeBound(machine, 5);
      const dmabuf = exportRevocable(machine);
      const right = addFence(dmabuf, machine, ResvUsage[usage]);
      const { result } = startTestWorker<string[]>(workerUrl, machine, {
        job: 'end-fence',
        fence: right.handOver(),
        rule: 'fence-bound',
      });
      await startTestWorker(workerUrl, machine, { job: 'revoke', dmabuf: dmabuf.ref }).result;
      await result;
      expect(machine.diag.count('violation')).toBe(1);
      expect(machine.diag.records().find((r) => r.code === 'fence-bound')).toMatchObject({
        buffer: dmabuf.label,
        step: '4',
        data: { fences: [expect.stringContaining('timeline test unsignalled')] },
      });
      dmabuf.put();
    },
  );

  it('reports late fences whose driver this thread does not know', async () => {
    using machine = testMachine();
    machine.diag.expect('violation', 'fence-bound');
    setRevokeBound(machine, 5);
    const dmabuf = exportRevocable(machine);
    using right = addFence(dmabuf, machine, ResvUsage.BOOKKEEP);
    const revoker = startTestWorker(workerUrl, machine, { job: 'revoke', dmabuf: dmabuf.ref, strange: true });
    await expect.poll(() => machine.diag.count('violation'), { interval: 2, timeout: 30_000 }).toBe(1);
    right.signal();
    await revoker.result;
    expect(machine.diag.records().at(-1)!.text).toMatch(/1 fences are not signalled .*its driver is not registered/);
    dmabuf.put();
  });

  it('gives fences longer when the clock is stretched, also while it waits', async () => {
    using machine = testMachine({ clock: 'manual' });
    machine.diag.expect('violation', 'fence-bound');
    setRevokeBound(machine, 100);
    const dmabuf = exportRevocable(machine);
    using right = addFence(dmabuf, machine, ResvUsage.BOOKKEEP);
    const revoker = startTestWorker(workerUrl, machine, { job: 'revoke', dmabuf: dmabuf.ref });
    const sleeps = (): number => {
      const task = machine.tasks().find(({ id, state }) => id !== machine.tid && state === 'sleeping');
      return task === undefined ? 0 : TaskStruct.deadlineNs.get(machine.mem, taskAt(task.id)) / 1e6;
    };
    await expect.poll(sleeps, { interval: 1, timeout: 30_000 }).toBe(100);
    machine.clock.stretch = 3;
    machine.clock.advance(150);
    await expect.poll(sleeps, { interval: 1, timeout: 30_000 }).toBe(300);
    expect(machine.diag.count('violation')).toBe(0);
    machine.clock.advance(150);
    await expect.poll(() => machine.diag.count('violation'), { interval: 1, timeout: 30_000 }).toBe(1);
    right.signal();
    await revoker.result;
    dmabuf.put();
  });

  it('is not revoked, and can be revoked again, when a step of it fails', () => {
    using machine = testMachine();
    const dmabuf = exportRevocable(machine);
    const revocable = revocableOf(dmabuf);
    const fail = (): never => {
      throw new Error('broken step');
    };
    expect(() => revocable.revoke(dmabuf, { onFencesRetired: fail })).toThrow('broken step');
    expect(revocable).toMatchObject({ revoked: false, mapCount: 1 });
    expect(revocable.revoke(dmabuf)).toBe(true);
    dmabuf.put();
  });

  it('notices that it would wait for unmaps with resv held (R7)', () => {
    using machine = testMachine();
    machine.diag.expect('violation', 'resv-held');
    const dmabuf = exportRevocable(machine);
    const revocable = revocableOf(dmabuf);
    dmabuf.resv.with(() => {
      expect(() => revocable.waitUnmapped(dmabuf)).toThrow(kernelError('EDEADLK'));
    });
    expect(() => revocable.revoke(dmabuf, { onRevoked: () => revocable.waitUnmapped(dmabuf) })).toThrow(
      kernelError('EDEADLK'),
    );
    dmabuf.put();
  });

  it('waits for unmaps, names who is late and which task mapped, and waits on (R2)', async () => {
    using machine = testMachine();
    machine.diag.expect('violation', 'unmap-bound');
    setRevokeBound(machine, 5);
    const dmabuf = exportRevocable(machine);
    const attachment = dmabuf.attachDynamic(device(machine, 'slow0'), stubbornImporter);
    const table = attachment.mapUnlocked(0);
    const revoker = startTestWorker<number>(workerUrl, machine, { job: 'revoke', dmabuf: dmabuf.ref });
    const waiter = startTestWorker<string[]>(workerUrl, machine, {
      job: 'unmap-after',
      rule: 'unmap-bound',
      attachment: attachment.ref,
      table: table.ref,
    });
    await waiter.result;
    await revoker.result;
    expect(mapsOf(dmabuf).live).toBe(0);
    expect(machine.diag.count('violation')).toBe(1);
    expect(machine.diag.records().find((r) => r.code === 'unmap-bound')).toMatchObject({
      importer: 'test-stubborn',
      buffer: dmabuf.label,
      step: '6',
      text: expect.stringContaining(`slow0 (task ${machine.tid}, test)`),
      data: {
        mappings: [{ importer: 'test-stubborn', device: 'slow0', task: machine.tid, tables: 1, detached: false }],
      },
    });
    dmabuf.detach(attachment);
    dmabuf.put();
  });

  it('names mappings whose attachment is gone (R8)', async () => {
    const machine = testMachine();
    machine.diag.expect('violation', 'detach-while-mapped');
    setRevokeBound(machine, 5);
    const dmabuf = exportRevocable(machine);
    const attachment = dmabuf.attachDynamic(device(machine, 'gone0'), stubbornImporter);
    attachment.mapUnlocked(0);
    dmabuf.detach(attachment);
    const revoker = startTestWorker<number>(workerUrl, machine, { job: 'revoke', dmabuf: dmabuf.ref });
    await startTestWorker(workerUrl, machine, { job: 'await-rule', rule: 'unmap-bound' }).result;
    expect(machine.diag.records().at(-1)).toMatchObject({
      code: 'unmap-bound',
      data: { mappings: [{ importer: 'test-stubborn', device: 'gone0', detached: true }] },
    });
    revocableOf(dmabuf).unmapped();
    await revoker.result;
    machine.leave();
  });

  it('changes nothing when an importer is not registered in the revoking thread', async () => {
    using machine = testMachine();
    const dmabuf = exportRevocable(machine);
    const attachment = dmabuf.attachDynamic(device(machine), revocableImporter());
    const revoker = startTestWorker<number>(workerUrl, machine, { job: 'revoke', dmabuf: dmabuf.ref }, 'stranger');
    await expect(revoker.result).rejects.toThrow(
      /importer driver 'revocable' is not registered in thread 'stranger'.*registerDrivers/,
    );
    expect(revocableOf(dmabuf)).toMatchObject({ revoked: false, mapCount: 1 });
    expect(dmabuf.resv.isLocked).toBe(false);
    attachment.unmapUnlocked(attachment.mapUnlocked(0), 0);
    dmabuf.detach(attachment);
    dmabuf.put();
  });

  it('refuses a bound that is none', () => {
    using machine = testMachine();
    expect(() => setRevokeBound(machine, 0)).toThrow(/above 0 ms, got 0/);
  });
});

describe('two threads against a revoker', () => {
  it('attach, map, unmap and detach while main revokes and gives back', async () => {
    using machine = testMachine();
    registerDrivers(machine, [obedientImporter]);
    const dmabuf = exportRevocable(machine);
    const revocable = revocableOf(dmabuf);
    const workers = [0, 1].map((n) =>
      startTestWorker<{ maps: number; refused: number }>(workerUrl, machine, {
        job: 'churn',
        dmabuf: dmabuf.ref,
        rounds: 400,
        n,
      }),
    );
    let done = false;
    const results = Promise.all(workers.map((w) => w.result)).finally(() => {
      done = true;
    });
    results.catch(() => {});
    let revokes = 0;
    while (!done) {
      expect(revocable.revoke(dmabuf)).toBe(true);
      expect(mapsOf(dmabuf).live).toBe(0);
      const { maps } = mapsOf(dmabuf);
      await new Promise((resolve) => setImmediate(resolve));
      expect(mapsOf(dmabuf)).toEqual({ maps, live: 0 });
      revocable.unrevoke(dmabuf);
      revokes++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    const counts = await results;
    expect(revokes).toBeGreaterThan(0);
    expect(counts.reduce((sum, c) => sum + c.maps, 0)).toBe(mapsOf(dmabuf).maps);
    expect(revocable.mapCount).toBe(1);
    dmabuf.put();
  }, 60_000);
});

describe('trace events (core §1.16)', () => {
  it('follow the life of a buffer', () => {
    using machine = testMachine({ traceEvents: 128 });
    const dmabuf = exported(machine, recorder(), { size: 2 ** 33 + 1, expName: 'traced' });
    const dev = device(machine, 'dev0');
    const attachment = dmabuf.attachDynamic(dev, plainImporter);
    const table = attachment.mapUnlocked(2);
    attachment.unmapUnlocked(table, 2);
    dmabuf.beginCpuAccess(1);
    dmabuf.endCpuAccess(1);
    dmabuf.detach(attachment);
    dmabuf.put();
    const events = machine.trace.read().filter((e) => (DMA_BUF_EVENTS as readonly string[]).includes(e.name));
    expect(events.map((e) => e.name)).toEqual([
      'dma_buf_export',
      'dma_buf_dynamic_attach',
      'dma_buf_map_attachment',
      'dma_buf_unmap_attachment',
      'dma_buf_begin_cpu_access',
      'dma_buf_end_cpu_access',
      'dma_buf_detach',
      'dma_buf_put',
      'dma_buf_release',
    ]);
    expect(events.every((e) => e.args[0] === 1)).toBe(true);
    expect(events[0]!.args).toEqual([1, machine.intern('traced'), 1, 2]);
    expect(events[1]!.args).toEqual([1, attachment.ref, machine.intern('dev0'), 1]);
    expect(events[2]!.args).toEqual([1, attachment.ref, table.ref, 2]);
  });
});
