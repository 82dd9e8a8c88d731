import { Machine } from '@dmabuf-emu/shm';
import { propertyRuns, testMachine } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { smallMemory } from '../memory/test-memory.ts';
import { IOVA_APERTURE_END } from './domain-geometry.ts';
import { IommuDomain } from './iommu-domain.ts';
import type { ReservedRange } from './iova-space.ts';

const LOW = 2 ** 32 - 1;
const GIB = 2 ** 30;

function domainOf(machine: Machine, reserved: readonly ReservedRange[] = []): IommuDomain & Disposable {
  const domain = IommuDomain.create(machine, smallMemory(machine).map, { type: 'dma', reserved });
  return Object.assign(domain, { [Symbol.dispose]: () => domain.destroy() });
}

describe('IOVA allocator', () => {
  // drivers 15.5
  test('goes top-down, aligned to the next power of two, around a reserved window', () => {
    using machine = testMachine();
    using domain = domainOf(machine, [{ start: 0x8000_0000, end: 0xbfff_ffff }]);
    const sizes = [8192, 4096, 12_288, GIB];
    expect(sizes.map((size) => domain.iovaAlloc(size, LOW))).toEqual([
      0xffff_e000, 0xffff_d000, 0xffff_8000, 0x4000_0000,
    ]);
  });

  // drivers 15.5
  test('a full space gives 0', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    for (const expected of [0x8000_0000, 0x4000_0000]) {
      expect(domain.iovaAlloc(expected === 0x8000_0000 ? 2 * GIB : GIB, LOW)).toBe(expected);
    }
    expect(domain.iovaAlloc(GIB, LOW)).toBe(0);
    expect(domain.iovaAlloc(512 * 1024 * 1024, LOW)).toBe(0x2000_0000);
  });

  test('never gives out page 0', () => {
    using machine = testMachine();
    using domain = domainOf(machine, [{ start: 0x3000, end: IOVA_APERTURE_END }]);
    expect(domain.iovaAlloc(4096)).toBe(0x2000);
    expect(domain.iovaAlloc(4096)).toBe(0x1000);
    expect(domain.iovaAlloc(4096)).toBe(0);
  });

  test('above 4 GiB it begins at the top of 48 bits or at the limit, and goes on where it was', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    expect(domain.iovaAlloc(4096)).toBe(2 ** 48 - 4096);
    expect(domain.iovaAlloc(4096, 2 ** 40 - 1)).toBe(2 ** 40 - 4096);
    expect(domain.iovaAlloc(4096, 2 ** 64)).toBe(2 ** 40 - 8192);
  });

  test.each([1, 2, 3, 5, 8, 31, 32])('a freed range of %d pages is given out again at once', (pages) => {
    using machine = testMachine();
    using domain = domainOf(machine);
    const first = domain.iovaAlloc(pages * 4096, LOW);
    domain.iovaFree(first, pages * 4096);
    expect(domain.iovaAlloc(pages * 4096, LOW)).toBe(first);
    domain.iovaFree(first, pages * 4096);
    expect(domain.iova!.livePages()).toBe(0);
  });

  test('33 pages and more go straight back to the space', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    const first = domain.iovaAlloc(33 * 4096, LOW);
    expect(domain.iova!.ranges()).toHaveLength(1);
    domain.iovaFree(first, 33 * 4096);
    expect(domain.iova!.ranges()).toHaveLength(0);
  });

  test('magazines overflow into the depot and back; nothing is lost or given out twice', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    const count = 127 * 40;
    for (let round = 0; round < 2; round++) {
      const all = Array.from({ length: count }, () => domain.iovaAlloc(4096, LOW));
      expect(new Set(all).size).toBe(count);
      expect(domain.iova!.livePages()).toBe(count);
      for (const iova of all) domain.iovaFree(iova, 4096);
      expect(domain.iova!.livePages()).toBe(0);
    }
    domain.iova!.drain();
    expect(domain.iova!.ranges()).toEqual([]);
  });

  test('takes back what the magazines hold before it says that nothing is free', () => {
    using machine = testMachine();
    using domain = domainOf(machine, [{ start: 0x10_0000, end: IOVA_APERTURE_END }]);
    const all = Array.from({ length: 255 }, () => domain.iovaAlloc(4096));
    expect(domain.iovaAlloc(4096)).toBe(0);
    for (const iova of all) domain.iovaFree(iova, 4096);
    expect(domain.iovaAlloc(128 * 4096, LOW, false)).toBe(0);
    expect(domain.iovaAlloc(128 * 4096)).toBe(0x8_0000);
  });

  test('freeing what was never allocated is a WARN and no more', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    machine.diag.expect('warn', 'iova-bad-free');
    domain.iovaFree(0x10_0000, 64 * 4096);
    expect(machine.diag.count('warn')).toBe(1);
    expect(domain.iova!.livePages()).toBe(0);
  });

  test('giving back never needs memory, also on a task that has none for its magazines', () => {
    for (let nth = 1; nth < 5; nth++) {
      using machine = testMachine();
      using domain = domainOf(machine);
      using other = Machine.join(machine.handle);
      const twin = new IommuDomain(other, smallMemory(other).map, domain.ref);
      const [small, large] = [domain.iovaAlloc(4096, LOW), domain.iovaAlloc(64 * 4096, LOW)];
      machine.faults.failNth(nth);
      twin.iovaFree(small, 4096);
      twin.iovaFree(large, 64 * 4096);
      machine.faults.off();
      expect(domain.iova!.livePages()).toBe(0);
      domain.iova!.drain();
      expect(domain.iova!.ranges()).toEqual([]);
    }
  });

  test('a domain without the DMA API has no allocator', () => {
    using machine = testMachine();
    const domain = IommuDomain.create(machine, smallMemory(machine).map, { type: 'unmanaged' });
    expect(domain.iovaAlloc(4096)).toBe(0);
    domain.destroy();
  });

  test('ranges never overlap, are aligned, below their limit and outside reserved ones', () => {
    const step = fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 70 }), fc.nat(1000));
    const windows = fc.array(fc.tuple(fc.nat(900), fc.integer({ min: 1, max: 60 })), { maxLength: 4 });
    fc.assert(
      fc.property(windows, fc.array(step, { maxLength: 150 }), (reserved, steps) => {
        using machine = testMachine();
        const ranges = reserved.map(([page, pages]) => ({ start: page * 4096, end: (page + pages) * 4096 - 1 }));
        using domain = domainOf(machine, ranges);
        const taken = new Map<number, number>();
        const used = new Set(reserved.flatMap(([page, pages]) => Array.from({ length: pages }, (_, i) => page + i)));
        for (const [free, pages, pick] of steps) {
          if (free && taken.size > 0) {
            const [page, count] = [...taken][pick % taken.size]!;
            domain.iovaFree(page * 4096, count * 4096);
            taken.delete(page);
            for (let i = 0; i < count; i++) used.delete(page + i);
            continue;
          }
          const iova = domain.iovaAlloc(pages * 4096, 1024 * 4096 - 1);
          if (iova === 0) continue;
          const page = iova / 4096;
          expect(page % 2 ** Math.ceil(Math.log2(pages))).toBe(0);
          expect(page).toBeGreaterThan(0);
          expect(page + pages).toBeLessThanOrEqual(1024);
          for (let i = 0; i < pages; i++) expect(used.has(page + i)).toBe(false);
          for (let i = 0; i < pages; i++) used.add(page + i);
          taken.set(page, pages);
        }
        for (const [page, count] of taken) domain.iovaFree(page * 4096, count * 4096);
        expect(domain.iova!.livePages()).toBe(0);
        domain.iova!.drain();
        const left = domain.iova!.ranges().reduce((sum, [first, end]) => sum + end - first, 0);
        const kept = new Set(
          reserved
            .flatMap(([page, count]) => Array.from({ length: count }, (_, i) => page + i))
            .filter((page) => page > 0),
        );
        expect(left).toBe(kept.size);
      }),
      { numRuns: propertyRuns(60) },
    );
  });
});
