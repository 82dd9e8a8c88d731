import { SgTable } from '@dmabuf-emu/core';
import { pageWindow, restoreTable, trimTable } from '#dist/rdma-umem/trim-window.js';
import { propertyRuns, testMachine } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const P = 0x10_0000_0000;
const Q = 0x20_0000_0000;

describe('a table cut down to a window', () => {
  // spec: drivers §15.4
  it('follows the numeric vector', () => {
    using machine = testMachine();
    const table = SgTable.from(
      machine,
      [
        { address: P, length: 0x10000 },
        { address: Q, length: 0x10000 },
      ],
      'test',
    );
    const { start, end } = pageWindow(0xf000 + 0x10, 0x2000);
    expect([start, end]).toEqual([0xf000, 0x12000]);
    const trim = trimTable(table, start, end);
    expect(trim).toEqual({ first: 0, nents: 2, firstOffset: 0xf000, lastTrim: 0xe000 });
    expect(table.entries()).toEqual([
      { address: P + 0xf000, length: 0x1000 },
      { address: Q, length: 0x2000 },
    ]);
    restoreTable(table, trim);
    expect(table.entries()).toEqual([
      { address: P, length: 0x10000 },
      { address: Q, length: 0x10000 },
    ]);
    table.free();
  });

  it('leaves a table alone that is the window', () => {
    using machine = testMachine();
    const table = SgTable.from(machine, [{ address: P, length: 0x3000 }], 'test');
    expect(trimTable(table, 0, 0x3000)).toEqual({ first: 0, nents: 1, firstOffset: 0, lastTrim: 0 });
    expect(table.entries()).toEqual([{ address: P, length: 0x3000 }]);
    table.free();
  });

  it('cuts both ends of one entry, and skips entries before and behind', () => {
    using machine = testMachine();
    const lengths = [0x2000, 0x8000, 0x4000];
    const table = SgTable.from(
      machine,
      lengths.map((length, i) => ({ address: P + i * 0x100000, length })),
      'test',
    );
    const trim = trimTable(table, 0x3000, 0x5000);
    expect(trim).toEqual({ first: 1, nents: 1, firstOffset: 0x1000, lastTrim: 0x5000 });
    expect(table.entries()[1]).toEqual({ address: P + 0x101000, length: 0x2000 });
    restoreTable(table, trim);
    expect(table.entries().map(({ length }) => length)).toEqual(lengths);
    table.free();
  });

  it('keeps exactly the bytes of the window, and puts everything back', () => {
    const pages = fc.integer({ min: 1, max: 8 });
    fc.assert(
      fc.property(fc.array(pages, { minLength: 1, maxLength: 6 }), fc.nat(), fc.nat(), (sizes, from, count) => {
        using machine = testMachine();
        const total = sizes.reduce((sum, size) => sum + size, 0);
        const first = from % total;
        const end = first + 1 + (count % (total - first));
        const entries = sizes.map((size, i) => ({ address: P + i * 0x100000, length: size * 4096 }));
        const table = SgTable.from(machine, entries, 'test');
        const flat = entries.flatMap(({ address, length }) =>
          Array.from({ length: length / 4096 }, (_, i) => address + i * 4096),
        );
        const trim = trimTable(table, first * 4096, end * 4096);
        const cut = table.entries().slice(trim.first, trim.first + trim.nents);
        const left = cut.flatMap(({ address, length }) =>
          Array.from({ length: length / 4096 }, (_, i) => address + i * 4096),
        );
        expect(left).toEqual(flat.slice(first, end));
        restoreTable(table, trim);
        expect(table.entries()).toEqual(entries);
        table.free();
      }),
      { numRuns: propertyRuns(40) },
    );
  });
});
