import { Machine } from '@dmabuf-emu/shm';
import { propertyRuns, testMachine } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { smallMemory } from '../memory/test-memory.ts';
import { IommuDomain } from './iommu-domain.ts';
import { IotlbGather } from './iotlb-gather.ts';
import { IommuProt } from './prot.ts';
import { BIG_BAR, BIG_BAR_BYTES, domainOf, MIB } from './test-domain.ts';

const RW = IommuProt.READ | IommuProt.WRITE;
const IOVA = 0x7f12_3400_0000;

describe('IommuDomain.map', () => {
  test('translates every page, also the last one of 48 bits', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    for (const iova of [0, 0x1000, IOVA, 2 ** 48 - 8192]) {
      domain.map(iova, 0x5000, 8192, RW);
      expect(domain.iovaToPhys(iova + 5)).toBe(0x5005);
      expect(domain.iovaToPhys(iova + 4096)).toBe(0x6000);
      expect(domain.unmap(iova, 8192)).toBe(8192);
    }
    expect(domain.mappedPages).toBe(0);
  });

  test('uses one large leaf where 2 MiB line up', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    const tables = domain.tableCount;
    domain.map(IOVA, BIG_BAR, 64 * MIB, RW);
    expect(domain.tableCount).toBe(tables + 2);
    expect(domain.iovaToPhys(IOVA + 33 * MIB + 12_345)).toBe(BIG_BAR + 33 * MIB + 12_345);
    expect(domain.unmap(IOVA, 64 * MIB)).toBe(64 * MIB);
  });

  test('mixes large and small leaves', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    const size = 5 * MIB;
    domain.map(IOVA + MIB, BIG_BAR + MIB, size, RW);
    for (let at = 0; at < size; at += 4096) expect(domain.iovaToPhys(IOVA + MIB + at)).toBe(BIG_BAR + MIB + at);
    expect(domain.mappedPages).toBe(size / 4096);
    expect(domain.audit()).toEqual([]);
    expect(domain.unmap(IOVA + MIB, size)).toBe(size);
  });

  test.each([
    ['iova', 0x1001, 0x1000, 0x1000],
    ['paddr', 0x1000, 0x1800, 0x1000],
    ['size', 0x1000, 0x1000, 0x1001],
  ])('unaligned %s is EINVAL', (_what, iova, paddr, size) => {
    using machine = testMachine();
    using domain = domainOf(machine);
    expect(() => domain.map(iova, paddr, size, RW)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });

  test('neither READ nor WRITE is EINVAL with a WARN', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    machine.diag.expect('warn', 'iommu-map');
    expect(() => domain.map(0x1000, 0x1000, 0x1000, IommuProt.MMIO)).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
    expect(machine.diag.count('warn')).toBe(1);
  });

  test.each(['blocked', 'identity'] as const)(
    'a domain of type %s has no page table: EINVAL with a WARN, unmap 0',
    (type) => {
      using machine = testMachine();
      using domain = domainOf(machine, { type });
      machine.diag.expect('warn', 'iommu-map');
      expect(() => domain.map(0x1000, 0x1000, 0x1000, RW)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
      expect(domain.unmap(0x1000, 0x1000)).toBe(0);
      expect(domain.iovaToPhys(0x1234)).toBe(type === 'identity' ? 0x1234 : 0);
    },
  );

  test('beyond 48 bits, or where no memory is, ERANGE', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    expect(() => domain.map(2 ** 48 - 4096, 0x1000, 8192, RW)).toThrow(expect.objectContaining({ code: 'ERANGE' }));
    expect(() => domain.map(0, BIG_BAR + BIG_BAR_BYTES, 4096, RW)).toThrow(expect.objectContaining({ code: 'ERANGE' }));
    expect(() => domain.map(0, BIG_BAR + BIG_BAR_BYTES - 4096, 8192, RW)).toThrow(
      expect.objectContaining({ code: 'ERANGE' }),
    );
    expect(domain.mappedPages).toBe(0);
    expect(domain.iovaToPhys(0)).toBe(0);
  });

  test.each([
    ['a page over a page', 4096, 0, 4096],
    ['a large leaf over a page', 4096, 0, 2 * MIB],
    ['a page over a large leaf', 2 * MIB, 4096, 4096],
    ['a large leaf over a large leaf', 2 * MIB, 0, 2 * MIB],
    ['many pages, the last one taken', 4096, -63 * 4096, 64 * 4096],
  ])('%s is EADDRINUSE and changes nothing', (_what, first, offset, size) => {
    using machine = testMachine();
    using domain = domainOf(machine);
    domain.map(IOVA, BIG_BAR, first, RW);
    expect(() => domain.map(IOVA + offset, BIG_BAR + 4 * MIB + (offset < 0 ? 0 : offset), size, RW)).toThrow(
      expect.objectContaining({ code: 'EADDRINUSE' }),
    );
    expect(domain.mappedPages).toBe(first / 4096);
    expect(domain.audit()).toEqual([]);
    expect(domain.iovaToPhys(IOVA)).toBe(BIG_BAR);
    if (offset < 0) expect(domain.iovaToPhys(IOVA + offset)).toBe(0);
    expect(domain.unmap(IOVA, first)).toBe(first);
  });

  test('every failing allocation on the way is unwound', () => {
    for (let nth = 1; ; nth++) {
      using machine = testMachine();
      using domain = domainOf(machine);
      machine.faults.failNth(nth);
      let failed = false;
      try {
        domain.map(IOVA + 511 * 4096, BIG_BAR, 4 * MIB, RW);
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOMEM' });
        failed = true;
      }
      machine.faults.off();
      expect(domain.audit()).toEqual([]);
      expect(domain.mappedPages).toBe(failed ? 0 : MIB / 1024);
      if (!failed) {
        expect(nth).toBeGreaterThan(4);
        domain.unmap(IOVA + 511 * 4096, 4 * MIB);
        return;
      }
    }
  });
});

describe('IommuDomain.unmap', () => {
  test('stops at the first hole and tells how far it came', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    domain.map(0x1_0000, 0x1000, 0x3000, RW);
    domain.map(0x1_4000, 0x5000, 0x1000, RW);
    expect(domain.unmap(0x1_0000, 0x5000)).toBe(0x3000);
    expect(domain.unmap(0x1_3000, 0x1000)).toBe(0);
    expect(domain.unmap(0x1_4000, 0x1000)).toBe(0x1000);
  });

  test('never splits a large leaf: it goes as a whole, from the middle too', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    domain.map(IOVA, BIG_BAR, 2 * MIB, RW);
    expect(domain.unmap(IOVA + MIB, 4096)).toBe(2 * MIB);
    expect(domain.mappedPages).toBe(0);
  });

  test('unaligned is 0', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    domain.map(0x1000, 0x1000, 0x1000, RW);
    expect(domain.unmap(0x1001, 0x1000)).toBe(0);
    expect(domain.unmap(0x1000, 0x1001)).toBe(0);
    expect(domain.unmap(0x1000, 0x1000)).toBe(0x1000);
  });
});

describe('IOTLB', () => {
  const translate = (domain: IommuDomain, iova: number): number => domain.translate(iova / 4096, true);

  test('is filled by a miss and answers afterwards', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    domain.map(IOVA, 0x9000, 4096, RW);
    const entry = translate(domain, IOVA);
    expect(translate(domain, IOVA)).toBe(entry);
    expect(domain.iotlbStats).toMatchObject({ hits: 1, misses: 1 });
    domain.unmap(IOVA, 4096);
    expect(translate(domain, IOVA)).toBe(0);
  });

  test('a stale entry goes on working until the sync, and is noticed', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    domain.map(IOVA, 0x9000, 4096, RW);
    const entry = translate(domain, IOVA);
    const gather = new IotlbGather();
    expect(domain.unmapFast(IOVA, 4096, gather)).toBe(4096);
    expect(domain.iovaToPhys(IOVA)).toBe(0);
    expect(translate(domain, IOVA)).toBe(entry);
    expect(domain.staleHit).toBe(true);
    domain.iotlbSync(gather);
    expect(translate(domain, IOVA)).toBe(0);
    expect(domain.staleHit).toBe(false);
  });

  test('the sync of one range leaves others cached; a flush leaves nothing', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    domain.map(IOVA, 0x9000, 8192, RW);
    translate(domain, IOVA);
    translate(domain, IOVA + 4096);
    domain.unmap(IOVA, 4096);
    expect(domain.iotlb!.count()).toBe(1);
    domain.flushIotlb();
    expect(domain.iotlb!.count()).toBe(0);
    domain.unmap(IOVA + 4096, 4096);
  });

  test('has the shape that was asked for', () => {
    using machine = testMachine();
    using domain = domainOf(machine, { iotlb: { sets: 16, ways: 2 }, pgsizeBitmap: 4096 });
    domain.map(IOVA, BIG_BAR, 4 * MIB, RW);
    for (let i = 0; i < 1024; i++) translate(domain, IOVA + i * 4096);
    expect(domain.iotlb!.count()).toBe(32);
    domain.unmap(IOVA, 4 * MIB);
    expect(domain.iotlb!.count()).toBe(0);
  });

  test.each([
    { sets: 8, ways: 4 },
    { sets: 24, ways: 4 },
    { sets: 64, ways: 3 },
    { sets: 65_536, ways: 2 },
  ])('refuses the shape $sets x $ways', (iotlb) => {
    using machine = testMachine();
    expect(() => domainOf(machine, { iotlb })).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });

  test('answers like the page table, whatever is mapped, unmapped and translated', () => {
    const step = fc.tuple(fc.nat(2), fc.nat(300), fc.nat(40));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        using machine = testMachine();
        using domain = domainOf(machine, { iotlb: { sets: 16, ways: 2 }, pgsizeBitmap: 4096 });
        const model = new Map<number, number>();
        for (const [what, page, count] of steps) {
          if (what === 0) {
            const free = Array.from({ length: count }, (_, i) => page + i).every((at) => !model.has(at));
            if (!free)
              expect(() => domain.map(page * 4096, 0x10_0000 + page * 4096, count * 4096, RW)).toThrow(/EADDRINUSE/u);
            else {
              domain.map(page * 4096, 0x10_0000 + page * 4096, count * 4096, RW);
              for (let i = 0; i < count; i++) model.set(page + i, 0x100 + page + i);
            }
          } else if (what === 1) {
            let removed = 0;
            while (removed < count && model.delete(page + removed)) removed++;
            expect(domain.unmap(page * 4096, count * 4096)).toBe(removed * 4096);
          }
          for (let at = page; at < page + 20; at++) {
            const frame = model.get(at);
            expect(domain.translate(at, true)).toBe(frame === undefined ? 0 : (frame << 2) | RW);
            expect(domain.staleHit).toBe(false);
          }
        }
        expect(domain.mappedPages).toBe(model.size);
        expect(domain.audit()).toEqual([]);
      }),
      { numRuns: propertyRuns(40) },
    );
  });
});

describe('a domain is shared', () => {
  test('a second handle, on another task, sees mappings and cached entries', () => {
    using machine = testMachine();
    using domain = domainOf(machine, { type: 'dma' });
    using other = Machine.join(machine.handle);
    const twin = new IommuDomain(other, smallMemory(other).map, domain.ref);
    const iova = domain.iovaAlloc(8192);
    domain.map(iova, 0x3000, 8192, RW);
    expect(twin.iovaToPhys(iova + 4096)).toBe(0x4000);
    twin.translate(iova / 4096, true);
    domain.translate(iova / 4096, true);
    expect(domain.iotlbStats).toMatchObject({ hits: 1, misses: 1 });
    expect(twin.unmap(iova, 8192)).toBe(8192);
    expect(domain.translate(iova / 4096, true)).toBe(0);
    twin.iovaFree(iova, 8192);
    expect(domain.iova!.livePages()).toBe(0);
  });

  test('gives all memory back when destroyed', () => {
    using machine = testMachine();
    const live = (): number => machine.allSlabs().reduce((sum, slab) => sum + [...slab.live()].length, 0);
    smallMemory(machine);
    const before = live();
    const domain = IommuDomain.create(machine, smallMemory(machine).map, { type: 'dma' });
    const iova = domain.iovaAlloc(8192);
    domain.iovaFree(iova, 8192);
    domain.iovaFree(domain.iovaAlloc(2 ** 22), 2 ** 22);
    domain.destroy();
    expect(live()).toBe(before);
  });

  test('a failing allocation while it is made leaves nothing', () => {
    for (let nth = 1; ; nth++) {
      using machine = testMachine();
      const live = (): number => machine.allSlabs().reduce((sum, slab) => sum + [...slab.live()].length, 0);
      const { map } = smallMemory(machine);
      const before = live();
      machine.faults.failNth(nth);
      let domain: IommuDomain | null = null;
      try {
        domain = IommuDomain.create(machine, map, { type: 'dma', reserved: [{ start: 0x1000, end: 0x1fff }] });
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOMEM' });
      }
      machine.faults.off();
      if (domain !== null) {
        expect(nth).toBeGreaterThan(5);
        domain.destroy();
        return;
      }
      expect(live()).toBe(before);
    }
  });
});
