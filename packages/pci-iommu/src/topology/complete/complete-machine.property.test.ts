import { propertyRuns } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { completeMachine, type MachineDescription, readMachine, Topology } from '../index.ts';
import { randomMachine } from '../test-random-machine.ts';
import { readRealDumpBytes, realDumpNames, realDumps } from '../test-real-dumps.ts';
import { expectReachable } from './test-reachable.ts';

const ALL_BARS = [{ bdf: null, what: 'bars' }];

function withoutBars(machine: MachineDescription, keep: (order: number) => boolean): MachineDescription {
  const functions = machine.functions.map((fn, order) => (keep(order) ? fn : { ...fn, bars: [] }));
  return { ...machine, functions };
}

describe('whatever the machine', () => {
  test('without any BAR it gets them all, each reachable through the windows above', () => {
    fc.assert(
      fc.property(randomMachine, (machine) => {
        const { description, assumptions } = completeMachine(
          withoutBars(machine, () => false),
          ALL_BARS,
        );
        const topology = new Topology(description);
        expectReachable(topology);
        expect(assumptions.filter((sentence) => sentence.includes('left out'))).toEqual([]);
        for (const fn of topology.functions) {
          expect(fn.bars).toHaveLength(fn.isBridge ? 0 : 1);
          const behind = topology.memoryBars.some((owner) => topology.pathToRoot(owner.fn).includes(fn));
          if (fn.isBridge) expect(fn.windows.length > 0).toBe(behind);
        }
      }),
      { numRuns: propertyRuns(100) },
    );
  });

  test('known BARs stay where they are, and completing again changes nothing', () => {
    fc.assert(
      fc.property(randomMachine, fc.nat(), (machine, seed) => {
        const known = withoutBars(machine, (order) => (seed >>> (order % 31)) % 2 === 0);
        const { description } = completeMachine(known, ALL_BARS);
        expectReachable(new Topology(description));
        known.functions.forEach((fn, order) => {
          if (fn.bars.length > 0) expect(description.functions[order]?.bars).toEqual(fn.bars);
        });
        expect(completeMachine(description, ALL_BARS).description).toEqual(description);
      }),
      { numRuns: propertyRuns(100) },
    );
  });
});

const NO_MACHINE = /p2p-verdict/u;

describe.skipIf(realDumps === null)('sources of real machines', () => {
  test.each(realDumpNames(/./u).filter((name) => !NO_MACHINE.test(name)))('%s becomes a machine that runs', (name) => {
    const reading = readMachine(readRealDumpBytes(name), { lenient: true });
    const topology = new Topology(completeMachine(reading.description, reading.unknowns).description);
    expect(topology.functions.filter((fn) => fn.acs === 'unknown')).toEqual([]);
    expect(topology.functions.flatMap((fn) => fn.bars).filter((bar) => bar.size === 0)).toEqual([]);
    const told = new Set(reading.unknowns.filter(({ what }) => what === 'bars').map(({ bdf }) => bdf));
    const bare = topology.functions.filter(
      (fn) => told.has(fn.bdf) && fn.classCode === 0x020000 && fn.bars.length === 0,
    );
    expect(bare).toEqual([]);
  });
});
