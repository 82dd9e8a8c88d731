import { i32, type Machine, struct } from '@dmabuf-emu/shm';
import { propertyRuns, testMachine } from '@dmabuf-emu/shm/testing';
import { IdTable, idTable } from '#dist/drm/internal/id-table.js';
import fc from 'fast-check';
import { expect, it } from 'vitest';

const Holder = struct('test_holder', { word: i32(), table: idTable() });

function tableOf(machine: Machine): IdTable {
  return new IdTable(machine, machine.root('test.holder', Holder.$words), Holder.table);
}

const id = fc.oneof({ weight: 4, arbitrary: fc.nat(20) }, { weight: 1, arbitrary: fc.nat(300) });
const act = fc.oneof(
  fc.record({ do: fc.constant('alloc' as const), value: fc.integer({ min: 1 }) }),
  fc.record({ do: fc.constantFrom('reserve' as const, 'find' as const, 'clear' as const, 'remove' as const), id }),
);

it('gives the lowest id from 1, and keeps what is taken', () => {
  fc.assert(
    fc.property(fc.array(act, { maxLength: 80 }), (acts) => {
      using machine = testMachine();
      const table = tableOf(machine);
      const model = new Map<number, number>();
      for (const one of acts) {
        if (one.do === 'alloc') {
          let free = 1;
          while (model.has(free)) free++;
          expect(table.alloc(one.value, 'test')).toBe(free);
          model.set(free, one.value);
          continue;
        }
        const known = model.get(one.id);
        if (one.do === 'reserve') {
          expect(table.reserve(one.id, 'test')).toBe(known === undefined);
          if (known === undefined) model.set(one.id, 0);
        } else {
          expect(table[one.do](one.id)).toBe(known ?? 0);
          if (one.do === 'remove') model.delete(one.id);
          if (one.do === 'clear' && known !== undefined) model.set(one.id, 0);
        }
      }
      const listed = [...model].filter(([, value]) => value !== 0).toSorted(([a], [b]) => a - b);
      expect(table.entries()).toEqual(listed);
      table.destroy();
      expect(machine.verify().counts['slab:idr_layer'] ?? 0).toBe(0);
    }),
    { numRuns: propertyRuns(100) },
  );
});

it('runs out at a million ids, and fails without memory with nothing changed', () => {
  using machine = testMachine();
  const table = tableOf(machine);
  expect(() => table.reserve(1 << 20, 'test')).toThrow('ENOMEM');
  for (const nth of [1, 2]) {
    machine.faults.failNth(nth, { site: 'test' });
    expect(() => table.alloc(5, 'test')).toThrow('ENOMEM');
  }
  expect([table.alloc(5, 'test'), table.find(1)]).toEqual([1, 5]);
  table.destroy();
});
