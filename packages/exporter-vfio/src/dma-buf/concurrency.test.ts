import { expect, test } from 'vitest';
import { Session } from '#dist/testing/importer.test-worker.js';
import { type Actor, startActor } from '../testing/actors.fixture.ts';
import { rig } from '../testing/rig.fixture.ts';
import { BDF } from '../testing/topology.fixture.ts';

test('one thread takes the memory away and gives it back, others export, map and put', async () => {
  using r = rig();
  const kept = r.buffer();
  const session = Session.attach(kept, r.near);
  const exporter = (name: string, device: string): Promise<Actor> =>
    startActor(r.machine, { do: 'export-loop', bdf: BDF.DUT, rounds: 300, device }, name);
  const actors = [
    await exporter('exporter 1', BDF.NEAR),
    await exporter('exporter 2', BDF.FAR),
    await startActor(r.machine, { do: 'toggle-memory', bdf: BDF.DUT, rounds: 200 }),
  ];
  const [first, second] = await Promise.all(actors.map(({ result }) => result));
  for (const done of [first, second] as { mapped: number; refused: number }[]) {
    expect(done.mapped + done.refused).toBe(300);
    expect(done.mapped).toBeGreaterThan(0);
  }
  expect(r.dut.memoryEnabled).toBe(true);
  session.map();
  session.end();
  kept.put();
});

test('the device is closed while others export: a buffer is either refused or revoked', async () => {
  using r = rig();
  const job = { do: 'export-loop', bdf: BDF.DUT, rounds: 1_000_000, device: BDF.NEAR } as const;
  const exporters = [await startActor(r.machine, job, 'exporter 1'), await startActor(r.machine, job, 'exporter 2')];
  r.dut.close();
  for (const { result } of exporters) await expect(result).rejects.toThrow('EBADF');
  expect(r.dut.dmaBufs()).toEqual([]);
});
