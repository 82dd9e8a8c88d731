import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseMachineDescription, stringifyMachine, Topology } from '../index.ts';
import { randomMachine } from '../test-random-machine.ts';

describe('for every machine', () => {
  test('description -> topology -> description, and through JSON text, changes nothing', () => {
    fc.assert(
      fc.property(randomMachine, (machine) => {
        const topology = new Topology(machine);
        expect(topology.description).toEqual(machine);
        expect(parseMachineDescription(JSON.parse(stringifyMachine(topology.description)))).toEqual(machine);
        expect(new Topology(topology.description).functions.map(String)).toEqual(topology.functions.map(String));
      }),
    );
  });

  test('indices are dense and ascend with the keys', () => {
    fc.assert(
      fc.property(randomMachine, (machine) => {
        const { functions } = new Topology(machine);
        functions.forEach((fn, index) => {
          expect(fn.index).toBe(index);
          expect(fn.key).toBeGreaterThan(functions[index - 1]?.key ?? -1);
        });
      }),
    );
  });

  test('every path ends on the root bus of its host bridge, and each step is a child of the next', () => {
    fc.assert(
      fc.property(randomMachine, (machine) => {
        const topology = new Topology(machine);
        for (const fn of topology.functions) {
          const path = topology.pathToRoot(fn);
          expect(path.at(-1)?.bus).toBe(fn.hostBridge.bus);
          path.forEach((step, order) => {
            const above = path[order + 1];
            if (above !== undefined) expect(topology.children(above)).toContain(step);
          });
        }
      }),
    );
  });

  test('the common bridge does not depend on the order', () => {
    fc.assert(
      fc.property(randomMachine, (machine) => {
        const topology = new Topology(machine);
        const some = topology.functions.slice(0, 8);
        for (const a of some)
          for (const b of some) expect(topology.commonBridge(a, b)).toBe(topology.commonBridge(b, a));
      }),
    );
  });

  test('every byte of every BAR, and none beside, is found', () => {
    fc.assert(
      fc.property(randomMachine, fc.nat(), (machine, seed) => {
        const topology = new Topology(machine);
        for (const { fn, bar } of topology.memoryBars) {
          const offset = seed % bar.size;
          expect(topology.barAt(bar.start + offset)).toEqual({ fn, bar, offset });
          expect(topology.barAt(bar.start + bar.size)?.bar).not.toBe(bar);
          expect(topology.barAt(bar.start - 1)?.bar).not.toBe(bar);
        }
      }),
    );
  });
});
