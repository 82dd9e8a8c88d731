import { createImporter, registerImporters, type ImporterKind, type Session } from '@dmabuf-emu/importers';
import { isKernelError, type Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { laxExporter, revoke, unrevoke, vfioLike } from '#dist/testing/bar-exporter.test-worker.js';
import { attach, buffer, pciOf } from '#dist/testing/rig.test-worker.js';
import { ROGUE_KINDS } from '@dmabuf-emu/importers';

const RUNS_MAX = 200;
const GOOD = [
  'odp',
  'revocable-pinned',
  'pinned',
  'static',
  'iommufd',
  'gpu',
] as const satisfies readonly ImporterKind[];

/** Every importer struct is gone. */
function leftovers(machine: Machine): string[] {
  const { counts } = machine.verify();
  const names =
    /^slab:(importer_hw|ib_umem|odp_mr|revocable_mr|static_import|gpu_|iommufd|iopt|dma_buf_attachment|sg_table|dma_grant|dma_buf_dma)/;
  return Object.entries(counts)
    .filter(([name, n]) => names.test(name) && n > 0)
    .map(([name, n]) => `${name} ${n}`);
}

/** A session's whole life, with allocations failing; outcomes that a step may have then. */
function live(session: Session): void {
  const { dmabuf } = session;
  const outcomes = new Set<string>();
  const step = () => outcomes.add(session.step().outcome);
  step();
  step();
  if (session.attachment.isRevocable()) {
    revoke(dmabuf);
    step();
    step();
    unrevoke(dmabuf);
  }
  step();
  step();
  session.detach();
  for (const outcome of outcomes) expect(['ok', 'nomem', 'revoked', 'faulted', 'dead']).toContain(outcome);
}

describe('when the n-th allocation fails, for every n', () => {
  it.each(GOOD)('a %s importer takes everything back or goes on', (kind) => {
    using machine = testMachine();
    pciOf(machine, true);
    registerImporters(machine);
    const refusesOthers = kind === 'pinned' || kind === 'static';
    let failed = 0;
    for (let n = 1; n < RUNS_MAX; n++) {
      const dmabuf = buffer(machine, refusesOthers ? laxExporter : vfioLike);
      const before = machine.faults.count;
      machine.faults.failNth(n);
      try {
        live(attach(kind, dmabuf));
      } catch (error) {
        if (!isKernelError(error, 'ENOMEM')) throw error;
        failed++;
      }
      const injected = machine.faults.count > before;
      machine.faults.off();
      expect(dmabuf.refs, `allocation ${n}`).toBe(1);
      expect(dmabuf.attachments(), `allocation ${n}`).toEqual([]);
      dmabuf.put();
      expect(leftovers(machine), `allocation ${n}`).toEqual([]);
      if (!injected) {
        expect(n).toBeGreaterThan(5);
        expect(failed).toBeGreaterThan(2);
        return;
      }
    }
    throw new Error(`still allocating after ${RUNS_MAX}`);
  });

  it.each(GOOD)('a %s importer goes on after a hundred failures at random', (kind) => {
    using machine = testMachine();
    pciOf(machine, true);
    registerImporters(machine);
    machine.faults.rate(0.1, 7);
    const outcomes: Record<string, number> = {};
    for (let i = 0; machine.faults.count < 100; i++) {
      machine.faults.off();
      const dmabuf = buffer(machine, kind === 'pinned' || kind === 'static' ? laxExporter : vfioLike);
      machine.faults.rate(0.1, i);
      try {
        const session = attach(kind, dmabuf);
        for (let step = 0; step < 5; step++) {
          const { outcome, mismatches } = session.step();
          expect(mismatches).toEqual([]);
          outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
          if (session.attachment.isRevocable() && step % 2 === 0) revoke(dmabuf);
          if (session.attachment.isRevocable() && step % 2 === 1) unrevoke(dmabuf);
        }
        session.detach();
      } catch (error) {
        if (!isKernelError(error, 'ENOMEM')) throw error;
      }
      dmabuf.put();
    }
    machine.faults.off();
    expect(
      Object.keys(outcomes).every((outcome) => ['ok', 'nomem', 'revoked', 'faulted', 'dead'].includes(outcome)),
    ).toBe(true);
    expect(outcomes['ok']).toBeGreaterThan(0);
  });
});

describe('createImporter', () => {
  it('refuses kinds and slices that there are not', () => {
    using machine = testMachine();
    const pci = pciOf(machine, true);
    const [fn] = pci.functions;
    const options = { machine, pci, fn: fn!, random: { pick: () => 'x' } as never, name: 'x' };
    expect(() => createImporter('nic' as ImporterKind, options)).toThrow(/an importer is one of odp, .*got nic/);
    expect(() => createImporter('rogue', { ...options, rogue: 'sleeps' as never })).toThrow(
      /a rogue is one of ignores-invalidate.*got sleeps/,
    );
    const dmabuf = buffer(machine);
    for (const slice of [
      { index: 2, count: 2 },
      { index: -1, count: 1 },
      { index: 0, count: 0 },
    ]) {
      expect(() => createImporter('odp', options).attach(dmabuf, slice)).toThrow(/a slice is one of count parts/);
    }
    expect(ROGUE_KINDS).toHaveLength(9);
    dmabuf.put();
  });
});
