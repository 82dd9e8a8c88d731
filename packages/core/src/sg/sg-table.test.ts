import { DmaDirection, SgTable } from '@dmabuf-emu/core';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });

describe('SgTable', () => {
  it('holds addresses and lengths exact to 2^53, seen by every handle', () => {
    using machine = testMachine();
    const entries = [
      { address: 2 ** 52 + 4096, length: 2 ** 40 },
      { address: 0, length: 4096 },
    ];
    const table = SgTable.from(machine, entries, 'test');
    expect(SgTable.of(machine, table.ref).entries()).toEqual(entries);
    expect([table.nents, table.origNents]).toEqual([2, 0]);
    expect([machine.mem.f64[table.entriesAt >>> 1], machine.mem.f64[(table.entriesAt >>> 1) + 3]]).toEqual([
      2 ** 52 + 4096,
      4096,
    ]);
    table.setEntry(1, 8192, 1);
    table.origNents = 5;
    expect([table.address(1), table.length(1), table.origNents]).toEqual([8192, 1, 5]);
    table.free();
    expect(table.alive).toBe(false);
  });

  it('starts zeroed, in memory that was used before', () => {
    using machine = testMachine();
    for (let round = 0; round < 3; round++) {
      const table = SgTable.alloc(machine, 3, 'test');
      expect(table.entries()).toEqual(Array.from({ length: 3 }, () => ({ address: 0, length: 0 })));
      expect([table.priv, table.privWord(3), table.privNumber(1), table.mapped]).toEqual([0, 0, 0, false]);
      table.setEntry(2, 1, 1);
      table.setPrivWord(3, -1);
      table.setPrivNumber(1, 2 ** 50);
      expect([table.privWord(3), table.privNumber(1), table.privNumber(0)]).toEqual([-1, 2 ** 50, 0]);
      table.free();
    }
  });

  it('may be empty, and large', () => {
    using machine = testMachine();
    const empty = SgTable.alloc(machine, 0, 'test');
    expect([empty.entries(), empty.entriesAt]).toEqual([[], 0]);
    empty.free();
    const large = SgTable.alloc(machine, 100_000, 'test');
    large.setEntry(99_999, 4096, 8192);
    expect(large.length(99_999)).toBe(8192);
    large.free();
    expect(() => SgTable.alloc(machine, 2 ** 20, 'test')).toThrow(kernelError('ENOMEM'));
    expect(() => SgTable.alloc(machine, -1, 'test')).toThrow(/got -1/);
  });

  it('can be trimmed and restored by an importer, not extended', () => {
    using machine = testMachine();
    const table = SgTable.alloc(machine, 2, 'test');
    table.nents = 1;
    expect(table.entries()).toHaveLength(1);
    table.nents = 2;
    expect(() => void (table.nents = 3)).toThrow(/0 to 2, got 3/);
    expect(() => table.address(2)).toThrow(/entries 0 to 1, asked for 2/);
    table.free();
  });

  it('frees the table when there is no memory for its entries', () => {
    using machine = testMachine();
    for (const n of [1, 2]) {
      machine.faults.failNth(n);
      expect(() => SgTable.alloc(machine, 1, 'test')).toThrow(kernelError('ENOMEM'));
    }
    expect(machine.verify().counts['slab:sg_table'] ?? 0).toBe(0);
  });

  it('names the directions as the kernel numbers them', () => {
    expect(DmaDirection).toEqual({ BIDIRECTIONAL: 0, TO_DEVICE: 1, FROM_DEVICE: 2, NONE: 3 });
  });
});
