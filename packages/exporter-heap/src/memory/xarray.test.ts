import { i32, struct, type Machine } from '@dmabuf-emu/shm';
import { propertyRuns, testMachine } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { XARRAY_FIELDS, XArray } from '#dist/memory/xarray.js';
import { errno } from '../testing/rig.fixture.ts';

const Owner = struct('xarray_test', { ...XARRAY_FIELDS, other: i32() });

function array(machine: Machine): XArray & Disposable {
  const slab = machine.slab(Owner);
  const ref = slab.alloc('test');
  return Object.assign(new XArray(machine, slab.at(ref), Owner), { [Symbol.dispose]: () => slab.free(ref) });
}

function nodes(machine: Machine): number {
  return machine.verify().counts['slab:xa_node'] ?? 0;
}

describe('XArray', () => {
  it('does what a map of numbers does, and has no nodes when it is empty', () => {
    const steps = fc.array(
      fc.record({
        index: fc.oneof(fc.nat(200), fc.integer({ min: 0, max: 2 ** 30 }), fc.constant(2 ** 40)),
        value: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
        keep: fc.boolean(),
      }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(steps, (list) => {
        using machine = testMachine();
        using tree = array(machine);
        const model = new Map<number, number>();
        for (const { index, value, keep } of list) {
          expect(tree.load(index)).toBe(model.get(index) ?? 0);
          if (!keep) {
            expect(tree.erase(index)).toBe(model.get(index) ?? 0);
            model.delete(index);
          } else if (model.has(index)) {
            expect(() => tree.insert(index, value)).toThrow(/there is an entry/);
          } else {
            tree.insert(index, value);
            model.set(index, value);
          }
          expect([...tree.entries()]).toEqual([...model].toSorted(([a], [b]) => a - b));
        }
        const some = [...model].filter(([index]) => index >= 50 && index < 2 ** 20);
        expect([...tree.entries(50, 2 ** 20)]).toEqual(some.toSorted(([a], [b]) => a - b));
        for (const [index] of tree.entries()) tree.erase(index);
        expect(nodes(machine)).toBe(0);
      }),
      { numRuns: propertyRuns(60) },
    );
  });

  it('stores nothing when a node cannot be had', () => {
    using machine = testMachine();
    using tree = array(machine);
    tree.insert(0, 5);
    for (let n = 1; ; n++) {
      machine.faults.failNth(n);
      const before = machine.faults.count;
      try {
        tree.insert(2 ** 35, 7);
      } catch (error) {
        expect(error).toEqual(errno('ENOMEM'));
      }
      const failed = machine.faults.count > before;
      machine.faults.off();
      expect(tree.load(0)).toBe(5);
      expect(tree.load(2 ** 35)).toBe(failed ? 0 : 7);
      if (!failed) {
        expect(n).toBeGreaterThan(1);
        break;
      }
    }
    tree.destroy();
    expect(nodes(machine)).toBe(0);
  });

  it('refuses an index that no file has', () => {
    using machine = testMachine();
    using tree = array(machine);
    expect(() => tree.insert(2 ** 43, 1)).toThrow(/beyond what an xarray holds/);
    expect(tree.load(2 ** 43)).toBe(0);
    tree.destroy();
  });
});
