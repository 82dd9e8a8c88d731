import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { PatternTable } from './pattern.ts';
import { RunList } from './run-list.ts';
import { BIG_BAR, smallMemory } from './test-memory.ts';

const RANGE = { owner: 7, epoch: 3, offset: 0 } as const;

function setup(machine: ReturnType<typeof testMachine>) {
  const memory = smallMemory(machine);
  const table = new PatternTable(machine);
  const runs = (at: number, length: number, write: boolean): RunList => {
    const list = new RunList();
    memory.resolve(list, at, length, write);
    return list;
  };
  return {
    memory,
    write: (at: number, length: number, range: { owner: number; epoch: number; offset: number }) =>
      table.write(runs(at, length, true), range),
    check: (at: number, length: number, range: { owner: number; epoch: number; offset: number }) =>
      table.check(runs(at, length, false), range),
  };
}

describe('page patterns', () => {
  test('what was written checks', () => {
    using machine = testMachine();
    const { write, check } = setup(machine);
    write(BIG_BAR, 10 * 4096, RANGE);
    expect(check(BIG_BAR, 10 * 4096, RANGE)).toBeNull();
  });

  test.each([
    [0, 1],
    [3, 9],
    [15, 2],
    [100, 8192],
    [4090, 20],
    [5000, 3],
  ])('a part at offset %d of %d bytes is written and checked like the whole', (offset, length) => {
    using machine = testMachine();
    const { memory, write, check } = setup(machine);
    write(0x10_0000, 16_384, RANGE);
    write(0x20_0000 + offset, length, { ...RANGE, offset });
    expect(check(0x10_0000 + offset, length, { ...RANGE, offset })).toBeNull();
    expect(memory.cpuRead(0x20_0000 + offset, length)).toEqual(memory.cpuRead(0x10_0000 + offset, length));
  });

  test('a page that nobody wrote is empty', () => {
    using machine = testMachine();
    const { write, check } = setup(machine);
    write(0x10_0000, 4096, RANGE);
    expect(check(0x10_0000, 8192, RANGE)).toMatchObject({ problem: 'empty', offset: 4096 });
  });

  test('an older write is lost, another owner foreign, another page misplaced', () => {
    using machine = testMachine();
    const { write, check } = setup(machine);
    write(0x10_0000, 4096, { ...RANGE, epoch: 2 });
    expect(check(0x10_0000, 4096, RANGE)).toMatchObject({
      problem: 'lost',
      offset: 8,
      expected: { owner: 7, epoch: 3, page: 0, byte: 3 },
      found: { owner: 7, epoch: 2, page: 0, byte: 2 },
    });
    write(0x10_0000, 4096, { ...RANGE, owner: 9 });
    expect(check(0x10_0000, 4096, RANGE)).toMatchObject({ problem: 'foreign', found: { owner: 9 } });
    write(0x10_0000, 4096, { ...RANGE, offset: 4096 });
    expect(check(0x10_0000, 4096, RANGE)).toMatchObject({ problem: 'misplaced', found: { page: 1 } });
  });

  test('a page of which only the beginning arrived is torn', () => {
    using machine = testMachine();
    const { memory, write, check } = setup(machine);
    write(0x10_0000, 4096, { ...RANGE, epoch: 2 });
    write(0x10_0000, 1000, RANGE);
    const mismatch = check(0x10_0000, 4096, RANGE);
    expect(mismatch?.problem).toBe('torn');
    expect(mismatch?.offset).toBeGreaterThanOrEqual(1000);
    expect(mismatch?.offset).toBeLessThan(1010);
    memory.cpuFill(0x10_0000 + 1000, 0xff, 3096);
    expect(check(0x10_0000, 4096, RANGE)?.problem).toBe('all-ones');
  });

  test('other bytes are garbage', () => {
    using machine = testMachine();
    const { memory, check } = setup(machine);
    memory.cpuFill(0x10_0000, 0x55, 4096);
    expect(check(0x10_0000, 4096, RANGE)).toMatchObject({ problem: 'garbage', offset: 0, found: { byte: 0x55 } });
    memory.cpuFill(0x10_0000, 0xff, 4096);
    expect(check(0x10_0000, 4096, RANGE)).toMatchObject({ problem: 'all-ones', offset: 0 });
  });

  test('a single flipped byte is found', () => {
    using machine = testMachine();
    const { memory, write, check } = setup(machine);
    write(0x10_0000, 8 * 4096, RANGE);
    const at = 0x10_0000 + 5 * 4096 + 2345;
    memory.cpuWrite(at, Uint8Array.of(memory.cpuRead(at, 1)[0]! ^ 0x10));
    expect(check(0x10_0000, 8 * 4096, RANGE)).toMatchObject({ problem: 'torn', offset: 5 * 4096 + 2345 });
  });
});
