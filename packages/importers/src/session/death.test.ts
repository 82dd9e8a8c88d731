import type { DmaBuf } from '@dmabuf-emu/core';
import { type ImporterKind, registerImporters, type Session } from '@dmabuf-emu/importers';
import type { Machine } from '@dmabuf-emu/shm';
import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import type { EngineArgs, EngineReport } from '#dist/testing/engine.test-worker.js';
import { attach, buffer, control, NIC, NIC2, pciOf, steps } from '#dist/testing/rig.test-worker.js';

const engineUrl = new URL(import.meta.resolve('#dist/testing/engine.test-worker.js'));
const revokerUrl = new URL(import.meta.resolve('#dist/testing/revoker.test-worker.js'));
const UNTIL = { timeout: 30_000, interval: 2 };
const KINDS = ['odp', 'revocable-pinned', 'iommufd', 'gpu'] as const satisfies readonly ImporterKind[];

/** Starts an engine that stands still somewhere, terminates it there and reaps it; returns the locks it held. */
async function killEngine(machine: Machine, args: EngineArgs): Promise<readonly string[]> {
  const { worker } = startTestWorker<EngineReport>(engineUrl, machine, args, 'victim');
  const { dying } = control(machine);
  await expect.poll(() => machine.mem.i32[dying], UNTIL).not.toBe(0);
  const task = machine.mem.i32[dying]!;
  machine.mem.i32[dying] = 0;
  await worker.terminate();
  return machine.reap(task).lostLocks;
}

/** Revokes a buffer on another thread, so that a hang is seen; tells how it went. */
async function revokeElsewhere(machine: Machine, dmabuf: DmaBuf): Promise<string> {
  const { worker, result } = startTestWorker<string>(revokerUrl, machine, { dmabuf: dmabuf.ref, times: 2 }, 'revoker');
  const late = new Promise<string>((resolve) => setTimeout(resolve, 8000, 'hangs').unref());
  const outcome = await Promise.race([result, late]);
  if (outcome === 'hangs') {
    const stuck = machine.tasks().map(({ name, state, waitingFor }) => `${name} ${state} ${waitingFor?.label ?? ''}`);
    await worker.terminate();
    return `hangs: ${stuck.join(', ')}`;
  }
  return outcome;
}

function leave(sessions: Session[], buffers: DmaBuf[]): void {
  for (const session of sessions) session.detach();
  for (const dmabuf of buffers) dmabuf.put();
}

/** What is left is damage, if anything. */
function expectClean(machine: Machine): void {
  const { errors, leaks } = machine.verify();
  expect({ errors, leaks }).toEqual({ errors: [], leaks: [] });
}

describe.each(KINDS)('a %s importer whose engine dies', (kind) => {
  it('in the middle of a burst of DMA does not hold a revoker up, and leaves nothing', async () => {
    using machine = testMachine();
    pciOf(machine, true);
    registerImporters(machine);
    const dmabuf = buffer(machine);
    const witness = attach('odp', dmabuf, { fn: pciOf(machine).function(NIC2), index: 1 });
    const lost = await killEngine(machine, { dmabuf: dmabuf.ref, kind, dieAt: { label: 'dma.move', pass: 20 } });
    expect(lost).toEqual(kind === 'gpu' ? [] : ['importer.hw']);
    expect(steps(witness, 3)).toMatchObject({ outcome: 'ok', mismatches: [] });
    expect(dmabuf.attachments()).toHaveLength(1);
    expect(await revokeElsewhere(machine, dmabuf)).toBe('done');
    expect(steps(witness, 3)).toMatchObject({ outcome: 'ok', mismatches: [] });
    expect(dmabuf.refs).toBe(2);
    leave([witness], [dmabuf]);
    expectClean(machine);
  });

  it('in the middle of a burst lets a revoker go on that waits for it', async () => {
    using machine = testMachine();
    pciOf(machine, true);
    registerImporters(machine);
    const dmabuf = buffer(machine);
    const { worker } = startTestWorker<EngineReport>(
      engineUrl,
      machine,
      { dmabuf: dmabuf.ref, kind, dieAt: { label: 'dma.move', pass: 20 } },
      'victim',
    );
    const { dying } = control(machine);
    await expect.poll(() => machine.mem.i32[dying], UNTIL).not.toBe(0);
    const revoker = startTestWorker<string>(revokerUrl, machine, { dmabuf: dmabuf.ref, times: 1 }, 'revoker');
    const waiting = () => machine.tasks().find(({ name }) => name === 'revoker')?.waitingFor?.label;
    await expect.poll(waiting, UNTIL).toMatch(kind === 'gpu' ? /fence/ : /^importer\.hw$/);
    await worker.terminate();
    machine.reap(machine.mem.i32[dying]!);
    expect(await revoker.result).toBe('done');
    expect(dmabuf.attachments()).toEqual([]);
    leave([], [dmabuf]);
    const notes = machine.diag.records().map(({ code }) => code);
    expect(notes.includes('importer-hw-lost')).toBe(kind !== 'gpu');
  });

  it('while it changes translations takes its function along, and nobody else', async () => {
    using machine = testMachine();
    const pci = pciOf(machine, true);
    registerImporters(machine);
    const [shared, other] = [buffer(machine), buffer(machine)];
    const neighbour = attach('odp', other, { fn: pci.function(NIC) });
    const lost = await killEngine(machine, {
      dmabuf: shared.ref,
      kind,
      bdf: NIC,
      dieAt: { label: 'iommu.publish', pass: 1 },
    });
    expect(lost).toContain('iommu_domain.lock');
    pci.isolate(pci.function(NIC));
    expect(neighbour.step().outcome).toBe('faulted');
    expect(await revokeElsewhere(machine, other)).toMatch(/^(done|EOWNERDEAD)$/);
    expect(await revokeElsewhere(machine, shared)).toMatch(/^(done|EOWNERDEAD)$/);
    machine.diag.expect('warn', 'dma_map_phys');
    expect(['nomem', 'lost']).toContain(neighbour.step().outcome);
    const third = buffer(machine);
    const survivor = attach('gpu', third);
    expect(steps(survivor, 3).outcome).toBe('ok');
    leave([neighbour, survivor], [shared, other, third]);
    expectClean(machine);
  });

  it.each([3, 40, 90, 160, 230, 300, 420, 600, 900, 1400])('at its sync point %i', async (pass) => {
    using machine = testMachine();
    const pci = pciOf(machine, true);
    registerImporters(machine);
    const dmabuf = buffer(machine);
    const witness = attach('gpu', dmabuf, { index: 1 });
    steps(witness, 2);
    await killEngine(machine, { dmabuf: dmabuf.ref, kind, seed: pass, dieAt: { label: '*', pass } });
    pci.isolate(pci.function(NIC));
    const outcome = await revokeElsewhere(machine, dmabuf);
    expect(outcome).toMatch(/^(done|EOWNERDEAD)$/);
    expect(witness.step().outcome).toBe(outcome === 'done' ? 'ok' : 'lost');
    leave([witness], [dmabuf]);
    expectClean(machine);
  });
});
