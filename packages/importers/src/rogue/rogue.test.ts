import { ResvUsage, setRevokeBound } from '@dmabuf-emu/core';
import { createImporter, registerImporters, ROGUE_KINDS, type RogueKind, rogueName } from '@dmabuf-emu/importers';
import type { FaultKind } from '@dmabuf-emu/pci-iommu';
import { atomicStore, type DiagRecord, Random } from '@dmabuf-emu/shm';
import { startTestWorker, testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { beginRevoke, endRevoke, laxExporter, revoke, unrevoke } from '#dist/testing/bar-exporter.test-worker.js';
import type { EngineReport } from '#dist/testing/engine.test-worker.js';
import { attach, buffer, control, NIC, pciOf, steps } from '#dist/testing/rig.test-worker.js';

const engineUrl = new URL(import.meta.resolve('#dist/testing/engine.test-worker.js'));
const revokerUrl = new URL(import.meta.resolve('#dist/testing/revoker.test-worker.js'));

/** What gives each kind away. */
const SEEN_AS: Record<RogueKind, { violation?: string; fault?: FaultKind }> = {
  'ignores-invalidate': { violation: 'unmap-bound', fault: 'write-after-fence' },
  'unmaps-late': { violation: 'unmap-bound' },
  'never-unmaps': { violation: 'unmap-bound' },
  'writes-after-fence': { fault: 'write-after-fence' },
  'uses-stale-address': { fault: 'iommu-fault' },
  'double-unmap': { violation: 'double-unmap' },
  'skips-lock': { violation: 'resv-not-held' },
  'never-signals': { violation: 'fence-bound' },
  'signals-twice': { violation: 'fence-signalled-twice' },
};
/** A rogue is late by a third of it: long enough that a busy host does not make the revoker later still. */
const BOUND_MS = 300;
const UNTIL = { timeout: 30_000, interval: 5 };

describe.each(ROGUE_KINDS)('a rogue that %s, on a thread of its own', (rogue) => {
  it('is caught within two revokes, and lets the run end', async () => {
    using machine = testMachine();
    const pci = pciOf(machine, true);
    registerImporters(machine);
    setRevokeBound(machine, BOUND_MS);
    const { violation, fault } = SEEN_AS[rogue];
    if (violation !== undefined) machine.diag.expect('violation', violation);
    const dmabuf = buffer(machine);
    const engine = startTestWorker<EngineReport>(
      engineUrl,
      machine,
      { dmabuf: dmabuf.ref, kind: 'rogue', rogue },
      'rogue',
    );
    await expect.poll(() => machine.mem.i32[control(machine).steps], UNTIL).toBeGreaterThan(2);
    const revoker = startTestWorker<string>(revokerUrl, machine, { dmabuf: dmabuf.ref, times: 2 }, 'revoker');
    const caught = (): DiagRecord[] => machine.diag.records().filter(({ kind }) => kind === 'violation');
    if (violation !== undefined) await expect.poll(() => caught().map(({ code }) => code), UNTIL).toContain(violation);
    if (fault !== undefined) await expect.poll(() => Object.keys(pci.faults.counts()), UNTIL).toContain(fault);
    for (const { code, importer } of caught())
      expect({ code, importer }).toEqual({ code: violation, importer: rogueName(rogue) });
    for (const { kind, grant, write } of pci.faults.list()) {
      expect([write ? kind : 'read', grant?.importer]).toEqual([write ? fault : 'read', rogueName(rogue)]);
    }

    if (rogue === 'never-unmaps' || rogue === 'never-signals') {
      const { id } = machine.tasks().find(({ name }) => name === 'rogue')!;
      atomicStore(machine.mem, control(machine).stop, 0);
      await engine.worker.terminate();
      machine.reap(id);
    } else {
      await revoker.result;
      atomicStore(machine.mem, control(machine).stop, 1);
      expect((await engine.result).mismatches).toBe(0);
    }
    expect(await revoker.result).toBe('done');
    expect(revoke(dmabuf)).toBe(true);
    dmabuf.put();
  });
});

describe('a rogue', () => {
  it('is chosen by the seed', () => {
    using machine = testMachine();
    const pci = pciOf(machine, true);
    registerImporters(machine);
    const kinds = new Set<string>();
    for (let seed = 0; seed < 40; seed++) {
      const make = () =>
        createImporter('rogue', { machine, pci, fn: pci.function(NIC), random: new Random(seed), name: 'rogue' });
      const dmabuf = buffer(machine, laxExporter);
      const [one, two] = [make(), make()].map((importer) => {
        const session = importer.attach(dmabuf, { index: 0, count: 1 });
        const { importerName } = session.attachment;
        session.detach();
        return importerName;
      });
      expect(one).toBe(two);
      kinds.add(one!);
      dmabuf.put();
    }
    expect(kinds.size).toBe(ROGUE_KINDS.length);
  });

  it('that unmaps late or ignores the callback lets go past the bound', () => {
    for (const rogue of ['unmaps-late', 'ignores-invalidate'] as const) {
      using machine = testMachine({ clock: 'manual' });
      const pci = pciOf(machine, true);
      setRevokeBound(machine, BOUND_MS);
      const dmabuf = buffer(machine);
      const session = attach('rogue', dmabuf, { rogue });
      steps(session, 3);
      for (let breach = 1; breach <= 2; breach++) {
        beginRevoke(dmabuf);
        session.step();
        machine.clock.advance(BOUND_MS * 1.1);
        session.step();
        expect(dmabuf.attachments()[0]!.tables()).toHaveLength(1);
        expect(pci.faults.count('write-after-fence') > 0).toBe(rogue === 'ignores-invalidate');
        machine.clock.advance(BOUND_MS);
        session.step();
        expect(dmabuf.attachments()[0]!.tables()).toEqual([]);
        endRevoke(dmabuf);
        expect(session.step().outcome).toBe('revoked');
        unrevoke(dmabuf);
        expect(session.step().outcome).toBe('ok');
      }
      revoke(dmabuf);
      session.detach();
      dmabuf.put();
    }
  });

  it('that keeps its mapping keeps it when it is told to stop, and behaves as long as nobody asked for it', () => {
    const machine = testMachine();
    pciOf(machine, true);
    const dmabuf = buffer(machine);
    const calm = attach('rogue', dmabuf, { rogue: 'never-unmaps' });
    steps(calm, 3);
    calm.detach();
    expect(dmabuf.attachments()).toEqual([]);
    const session = attach('rogue', dmabuf, { rogue: 'never-unmaps' });
    steps(session, 3);
    beginRevoke(dmabuf);
    steps(session, 3);
    session.detach();
    expect(dmabuf.attachments()[0]!.tables()).toHaveLength(1);
    machine.leave();
  });

  it('that writes after its fence does so when the revoker has gone on, idle or not', () => {
    using machine = testMachine();
    const pci = pciOf(machine, true);
    const dmabuf = buffer(machine);
    const session = attach('rogue', dmabuf, { rogue: 'writes-after-fence' });
    steps(session, 3);
    expect(pci.faults.list()).toEqual([]);
    beginRevoke(dmabuf);
    expect(dmabuf.resv.testSignaled(ResvUsage.BOOKKEEP)).toBe(true);
    session.step();
    expect(pci.faults.list()).toMatchObject([
      { kind: 'write-after-fence', write: true, grant: { importer: 'rogue-writes-after-fence' } },
    ]);
    endRevoke(dmabuf);
    unrevoke(dmabuf);
    expect(session.step().outcome).toBe('ok');
    session.detach();
    dmabuf.put();
  });

  it.each([true, false])('that uses a stale address is seen with an IOMMU: %s', (iommu) => {
    using machine = testMachine();
    const pci = pciOf(machine, true, iommu);
    const dmabuf = buffer(machine);
    const session = attach('rogue', dmabuf, { rogue: 'uses-stale-address' });
    steps(session, 3);
    revoke(dmabuf);
    expect(session.step().outcome).toBe(iommu ? 'faulted' : 'revoked');
    expect(pci.faults.list()).toMatchObject([{ kind: iommu ? 'iommu-fault' : 'use-after-revoke', write: true }]);
    expect(session.step().outcome).toBe('revoked');
    unrevoke(dmabuf);
    expect(session.step().outcome).toBe('ok');
    session.detach();
    dmabuf.put();
  });

  it.each(['double-unmap', 'skips-lock', 'signals-twice'] as const)(
    'that %s breaks its rule twice, then behaves',
    (rogue) => {
      using machine = testMachine();
      pciOf(machine, true);
      machine.diag.expect('violation', SEEN_AS[rogue].violation!);
      const dmabuf = buffer(machine);
      const session = attach('rogue', dmabuf, { rogue });
      for (let i = 0; i < 4; i++) {
        expect(steps(session, 3).outcome).toBe('ok');
        revoke(dmabuf);
        unrevoke(dmabuf);
      }
      const violations = machine.diag.records().filter(({ kind }) => kind === 'violation');
      expect(violations.map(({ code, importer }) => [code, importer])).toEqual(
        Array.from({ length: 2 }, () => [SEEN_AS[rogue].violation, rogueName(rogue)]),
      );
      session.detach();
      dmabuf.put();
    },
  );
});
