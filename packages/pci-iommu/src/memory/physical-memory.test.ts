import { KernelError, Machine } from '@dmabuf-emu/shm';
import { propertyRuns, testMachine } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PhysicalMemory } from './physical-memory.ts';
import { RunList } from './run-list.ts';
import { BIG_BAR, BIG_BAR_BYTES, smallMemory } from './test-memory.ts';

const bytes = (length: number, seed = 1): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 0xff);

describe('PhysicalMemory', () => {
  test('what was never written reads as zeros and takes no room', () => {
    using machine = testMachine();
    const memory = smallMemory(machine);
    expect(memory.cpuRead(BIG_BAR + 5 * 2 ** 30, 10_000).every((byte) => byte === 0)).toBe(true);
    expect(memory.usage.usedPages).toBeLessThanOrEqual(1);
  });

  test('reads back what was written, over page and table boundaries', () => {
    using machine = testMachine();
    const memory = smallMemory(machine);
    for (const at of [0x1ffe, BIG_BAR + 2 ** 22 - 100, BIG_BAR + BIG_BAR_BYTES - 20_000]) {
      memory.cpuWrite(at, bytes(12_345, at & 0xff));
      expect(memory.cpuRead(at, 12_345)).toEqual(bytes(12_345, at & 0xff));
    }
  });

  test('fills and copies', () => {
    using machine = testMachine();
    const memory = smallMemory(machine);
    memory.cpuFill(0x3000, 0xaa, 8192);
    memory.cpuCopy(BIG_BAR + 100, 0x3000, 8192);
    expect(memory.cpuRead(BIG_BAR + 99, 8194)).toEqual(
      Uint8Array.from({ length: 8194 }, (_, i) => (i === 0 || i === 8193 ? 0 : 0xaa)),
    );
  });

  test('pages that are touched together are one piece', () => {
    using machine = testMachine();
    const memory = smallMemory(machine);
    const runs = new RunList();
    expect(memory.resolve(runs, BIG_BAR, 2 ** 20, true)).toBe(2 ** 20);
    expect(runs.count).toBe(1);
    expect(runs.bytes(0)).toBe(2 ** 20);
  });

  test('a range that leaves memory is EFAULT', () => {
    using machine = testMachine();
    const memory = smallMemory(machine, 2 ** 20);
    expect(() => memory.cpuRead(2 ** 20 - 10, 20)).toThrow(/EFAULT.*no memory at 0x100000/u);
    expect(() => memory.cpuWrite(BIG_BAR - 1, bytes(1))).toThrow(KernelError);
  });

  test('runs out with ENOMEM, and serves again what is given back', () => {
    using machine = testMachine();
    const memory = smallMemory(machine, 2 ** 20, 16 * 4096);
    memory.cpuFill(0, 1, 15 * 4096);
    memory.cpuFill(15 * 4096, 1, 4096);
    expect(() => memory.cpuFill(16 * 4096, 1, 1)).toThrow(/ENOMEM.*all 16 pages/u);
    memory.store.discard(3, 1);
    memory.cpuFill(16 * 4096, 7, 2);
    expect([...memory.cpuRead(16 * 4096, 4)]).toEqual([7, 7, 0, 0]);
    expect(memory.usage).toEqual({ usedPages: 16, totalPages: 16 });
  });

  test('a failed page allocation is reported and leaves what was there', () => {
    using machine = testMachine();
    const memory = smallMemory(machine);
    machine.faults.failNth(1, { site: 'memory.page' });
    expect(() => memory.cpuWrite(0x5000, bytes(10))).toThrow(/ENOMEM/u);
    memory.cpuWrite(0x5000, bytes(10));
    expect(memory.cpuRead(0x5000, 10)).toEqual(bytes(10));
  });

  test('threads that join see the same bytes', () => {
    using machine = testMachine();
    const memory = smallMemory(machine);
    memory.cpuWrite(BIG_BAR + 77, bytes(5000));
    using other = Machine.join(machine.handle);
    expect(smallMemory(other).cpuRead(BIG_BAR + 77, 5000)).toEqual(bytes(5000));
  });

  test('works without WebAssembly', () => {
    using machine = testMachine({ movers: 'js' });
    const memory: PhysicalMemory = smallMemory(machine);
    memory.cpuWrite(4000, bytes(300));
    memory.cpuCopy(BIG_BAR, 4000, 300);
    expect(memory.cpuRead(BIG_BAR, 300)).toEqual(bytes(300));
  });
});

describe('RAM allocator', () => {
  test('gives out the lowest pages first, never page 0', () => {
    using machine = testMachine();
    const memory = smallMemory(machine);
    const first = memory.allocPages(1);
    const three = memory.allocPages(3);
    expect([first, three]).toEqual([0x1000, 0x2000]);
    memory.freePages(first, 1);
    expect(memory.allocPages(1)).toBe(first);
    memory.freePages(first, 1);
    memory.freePages(three, 3);
  });

  test('honours alignment', () => {
    using machine = testMachine();
    const memory = smallMemory(machine);
    const at = memory.allocPages(5, 8);
    expect(at % (8 * 4096)).toBe(0);
    memory.freePages(at, 5);
  });

  test.each([
    [0, 'EINVAL'],
    [-1, 'EINVAL'],
    [1.5, 'EINVAL'],
    [2 ** 20, 'ENOMEM'],
  ])('refuses %d pages with %s', (count, code) => {
    using machine = testMachine();
    expect(() => smallMemory(machine).allocPages(count)).toThrow(expect.objectContaining({ code }));
  });

  test('refuses to free what was not given out', () => {
    using machine = testMachine();
    const memory = smallMemory(machine);
    const at = memory.allocPages(2);
    expect(() => memory.freePages(at, 3)).toThrow(/EINVAL/u);
    expect(() => memory.freePages(at + 1, 1)).toThrow(/EINVAL/u);
    expect(() => memory.freePages(BIG_BAR, 1)).toThrow(/EINVAL/u);
    memory.freePages(at, 2);
    expect(() => memory.freePages(at, 2)).toThrow(/EINVAL/u);
  });

  test('agrees with a model', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 40 }), fc.nat(3)), { maxLength: 80 }),
        (steps) => {
          using machine = testMachine();
          const { ram } = smallMemory(machine, 256 * 4096);
          const owned = new Map<number, number>();
          const taken = new Set<number>();
          for (const [what, count, alignBits] of steps) {
            if (what === 0 && owned.size > 0) {
              const [at, pages] = [...owned][count % owned.size]!;
              ram.free(at, pages);
              owned.delete(at);
              for (let i = 0; i < pages; i++) taken.delete(at / 4096 + i);
              continue;
            }
            const align = 2 ** alignBits;
            const fits = (at: number): boolean =>
              Array.from({ length: count }, (_, i) => at + i).every(
                (page) => page > 0 && page < 256 && !taken.has(page),
              );
            let expected = -1;
            for (let page = 0; page < 256 && expected < 0; page += align) if (fits(page)) expected = page;
            if (expected < 0) {
              expect(() => ram.alloc(count, align)).toThrow(/ENOMEM/u);
              continue;
            }
            const at = ram.alloc(count, align);
            expect(at / 4096).toBe(expected);
            owned.set(at, count);
            for (let i = 0; i < count; i++) taken.add(at / 4096 + i);
          }
          expect(ram.usedPages).toBe(taken.size);
          expect(ram.countUsed()).toBe(taken.size);
          for (const [at, pages] of owned) ram.free(at, pages);
          expect(ram.usedAddresses(1)).toEqual([]);
        },
      ),
      { numRuns: propertyRuns(60) },
    );
  });
});
