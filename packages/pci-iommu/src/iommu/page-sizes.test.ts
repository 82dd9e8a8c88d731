import { type MachineOptions } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import type { DomainOptions } from './domain-lifetime.ts';
import { IotlbGather } from './iotlb-gather.ts';
import { IommuProt } from './prot.ts';
import { BIG_BAR, domainOf, GIB, KIB, MIB } from './test-domain.ts';

const RW = IommuProt.READ | IommuProt.WRITE;
const IOVA = 64 * GIB;
/** What Arm's format has with granules of 16 and 64 KiB, and AMD's: every power of two. */
const GRANULE_16K = 16 * KIB + 32 * MIB;
const GRANULE_64K = 64 * KIB + 512 * MIB;
const EVERY_SIZE = 2 ** 39 - 4 * KIB;

const error = (code: string): object => expect.objectContaining({ code });

describe('iommu_map takes the largest page that size and alignment allow', () => {
  const cases: [string, Partial<DomainOptions>, [iova: number, paddr: number, size: number], [number, number][]][] = [
    ['one page', {}, [IOVA, BIG_BAR, 4096], [[4 * KIB, 1]]],
    ['2 MiB', {}, [IOVA, BIG_BAR, 2 * MIB], [[2 * MIB, 1]]],
    ['2 MiB less a page', {}, [IOVA, BIG_BAR, 2 * MIB - 4096], [[4 * KIB, 511]]],
    ['1 GiB', {}, [IOVA, BIG_BAR, GIB], [[GIB, 1]]],
    ['3 GiB', {}, [IOVA, BIG_BAR, 3 * GIB], [[GIB, 3]]],
    ['1 GiB at an odd 2 MiB', {}, [IOVA + 2 * MIB, BIG_BAR + 2 * MIB, GIB], [[2 * MIB, 512]]],
    ['1 GiB that does not line up', {}, [IOVA, BIG_BAR + 4096, 4 * MIB], [[4 * KIB, 1024]]],
    [
      'up to a boundary with small ones, beyond it too',
      {},
      [IOVA - 2 * MIB - 4096, BIG_BAR + GIB - 2 * MIB - 4096, GIB + 2 * MIB + 8192],
      [
        [4 * KIB, 1],
        [2 * MIB, 1],
        [GIB, 1],
        [4 * KIB, 1],
      ],
    ],
    ['4 KiB only', { pgsizeBitmap: 4 * KIB }, [IOVA, BIG_BAR, 4 * MIB], [[4 * KIB, 1024]]],
    ['no 1 GiB', { pgsizeBitmap: 4 * KIB + 2 * MIB }, [IOVA, BIG_BAR, GIB], [[2 * MIB, 512]]],
    [
      'granule of 64 KiB',
      { pgsizeBitmap: GRANULE_64K },
      [IOVA, BIG_BAR, GIB + 128 * KIB],
      [
        [512 * MIB, 2],
        [64 * KIB, 2],
      ],
    ],
    [
      'granule of 16 KiB',
      { pgsizeBitmap: GRANULE_16K },
      [IOVA, BIG_BAR, 32 * MIB + 16 * KIB],
      [
        [32 * MIB, 1],
        [16 * KIB, 1],
      ],
    ],
    [
      'every power of two',
      { pgsizeBitmap: EVERY_SIZE },
      [IOVA + 12 * KIB, BIG_BAR + 12 * KIB, 32 * GIB - 12 * KIB],
      Array.from({ length: 22 }, (_, i): [number, number] => [i === 0 ? 4 * KIB : 2 ** (i + 13), 1]),
    ],
  ];

  test.each(cases)('%s', (_what, options, [iova, paddr, size], leaves) => {
    using machine = testMachine();
    using domain = domainOf(machine, options);
    domain.map(iova, paddr, size, RW);
    const got: [number, number][] = [];
    for (const mapping of domain.mappings()) {
      expect(mapping.paddr - paddr).toBe(mapping.iova - iova);
      const last = got.at(-1);
      if (last?.[0] === mapping.size) last[1]++;
      else got.push([mapping.size, 1]);
    }
    expect(got).toEqual(leaves);
    for (const at of [0, size / 2, size - 1]) expect(domain.iovaToPhys(iova + at)).toBe(paddr + at);
    expect(domain.audit()).toEqual([]);
    expect(domain.unmap(iova, size)).toBe(size);
    expect([...domain.mappings()]).toEqual([]);
    expect(domain.iovaToPhys(iova)).toBe(0);
  });

  test('the size of a leaf can be seen, from its middle too', () => {
    using machine = testMachine();
    using domain = domainOf(machine, { pgsizeBitmap: 4 * KIB + 64 * KIB + 2 * MIB + GIB });
    domain.map(IOVA, BIG_BAR, GIB, RW);
    domain.map(IOVA + GIB, BIG_BAR, 2 * MIB + 64 * KIB + 4096, RW);
    expect(domain.leafSizeAt(IOVA + GIB - 1)).toBe(GIB);
    expect(domain.leafSizeAt(IOVA + GIB + MIB)).toBe(2 * MIB);
    expect(domain.leafSizeAt(IOVA + GIB + 2 * MIB + 63 * KIB)).toBe(64 * KIB);
    expect(domain.leafSizeAt(IOVA + GIB + 2 * MIB + 64 * KIB)).toBe(4 * KIB);
    expect(domain.leafSizeAt(IOVA + GIB + 2 * MIB + 68 * KIB)).toBe(0);
    expect(domain.leafSizeAt(2 ** 48)).toBe(0);
  });

  test.each([2048, 4096 * 1.5, 0, 2 ** 39, 2 * GIB])('page sizes %d are refused', (pgsizeBitmap) => {
    using machine = testMachine();
    expect(() => domainOf(machine, { pgsizeBitmap })).toThrow(error('EINVAL'));
  });
});

describe('what is mapped already', () => {
  test.each([
    ['1 GiB over a page', [[0, 4096]], [0, GIB]],
    ['1 GiB over 2 MiB', [[512 * MIB, 2 * MIB]], [0, GIB]],
    ['a page under 1 GiB', [[0, GIB]], [GIB - 4096, 4096]],
    ['2 MiB under 1 GiB', [[0, GIB]], [512 * MIB, 2 * MIB]],
    ['1 GiB over 1 GiB', [[0, GIB]], [0, GIB]],
    ['64 KiB over a page in it', [[60 * KIB, 4096]], [0, 64 * KIB]],
    ['a page in 64 KiB', [[0, 64 * KIB]], [32 * KIB, 4096]],
    ['the last of many leaves', [[3 * GIB + 6 * MIB, 4096]], [4096, 3 * GIB + 8 * MIB - 4096]],
  ] as const)('%s: EADDRINUSE, and nothing changes', (_what, before, [at, size]) => {
    for (const format of ['generic', 'arm'] as const) {
      using machine = testMachine();
      using domain = domainOf(machine, { format, pgsizeBitmap: 4 * KIB + 64 * KIB + 2 * MIB + GIB });
      for (const [offset, bytes] of before) domain.map(IOVA + offset, BIG_BAR + offset, bytes, RW);
      const mappings = [...domain.mappings()];
      const code = format === 'arm' ? 'EEXIST' : 'EADDRINUSE';
      expect(() => domain.map(IOVA + at, BIG_BAR + 8 * GIB + at, size, RW)).toThrow(error(code));
      expect([...domain.mappings()]).toEqual(mappings);
      expect(domain.audit()).toEqual([]);
    }
  });

  test('a large leaf takes the place of tables that are empty, and gives it back', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    domain.map(IOVA + 4096, BIG_BAR + 4096, 4 * MIB, RW);
    expect(domain.unmap(IOVA + 4096, 4 * MIB)).toBe(4 * MIB);
    const tables = domain.tableCount;
    domain.map(IOVA, BIG_BAR, 2 * MIB, RW);
    expect(domain.leafSizeAt(IOVA)).toBe(2 * MIB);
    expect(domain.unmap(IOVA, 2 * MIB)).toBe(2 * MIB);
    domain.map(IOVA, BIG_BAR, GIB, RW);
    expect(domain.leafSizeAt(IOVA)).toBe(GIB);
    expect(domain.unmap(IOVA, GIB)).toBe(GIB);
    domain.map(IOVA + 4096, BIG_BAR + 4096, 4 * MIB, RW);
    expect(domain.leafSizeAt(IOVA + 4096)).toBe(4096);
    expect(domain.tableCount).toBe(tables);
    expect(domain.audit()).toEqual([]);
  });
});

describe('iommu_unmap', () => {
  test.each([
    ['the middle of 1 GiB', [GIB / 2, 4096], GIB],
    ['a range that ends in 1 GiB', [-4096, 8192], GIB + 4096],
    ['a range that begins in 1 GiB', [GIB - 4096, 8192], GIB + 4096],
    ['up to a hole', [-4096, 4 * GIB], GIB + 8192],
  ])('%s: leaves go as a whole', (_what, [at, size], removed) => {
    using machine = testMachine();
    using domain = domainOf(machine);
    domain.map(IOVA - 4096, BIG_BAR + 4 * GIB - 4096, GIB + 8192, RW);
    const gather = new IotlbGather();
    expect(domain.unmapFast(IOVA + at!, size!, gather)).toBe(removed);
    expect(gather.first * 4096).toBe(at === -4096 ? IOVA - 4096 : IOVA);
    expect((gather.end - gather.first) * 4096).toBe(removed);
    expect(domain.mappedPages * 4096).toBe(GIB + 8192 - removed);
    expect(domain.audit()).toEqual([]);
  });

  test('leaves of several entries go as a whole too', () => {
    using machine = testMachine();
    using domain = domainOf(machine, { pgsizeBitmap: EVERY_SIZE });
    domain.map(IOVA, BIG_BAR, 64 * KIB, RW);
    domain.map(IOVA + 64 * KIB, BIG_BAR + 64 * KIB, 4096, RW);
    expect(domain.unmap(IOVA + 60 * KIB, 4096)).toBe(64 * KIB);
    expect([...domain.mappings()]).toMatchObject([{ iova: IOVA + 64 * KIB, size: 4096 }]);
  });

  test('with quirk iommu.unmapFromStart, nothing goes when the range begins inside a leaf', () => {
    using machine = testMachine({ quirks: ['iommu.unmapFromStart'] });
    using domain = domainOf(machine, { pgsizeBitmap: 4 * KIB + 64 * KIB + GIB });
    domain.map(IOVA, BIG_BAR, GIB + 64 * KIB, RW);
    expect(domain.unmap(IOVA + 4096, GIB)).toBe(0);
    expect(domain.unmap(IOVA + GIB + 4096, 4096)).toBe(0);
    expect(domain.unmap(IOVA, 4096)).toBe(GIB);
    expect(domain.unmap(IOVA + GIB, 4096)).toBe(64 * KIB);
  });

  test('only multiples of the granule', () => {
    using machine = testMachine();
    using domain = domainOf(machine, { pgsizeBitmap: GRANULE_64K });
    domain.map(IOVA, BIG_BAR, 128 * KIB, RW);
    expect(domain.unmap(IOVA + 4096, 64 * KIB)).toBe(0);
    expect(domain.unmap(IOVA, 60 * KIB)).toBe(0);
    expect(domain.unmap(IOVA, 64 * KIB)).toBe(64 * KIB);
    expect(domain.leafSizeAt(IOVA + 64 * KIB)).toBe(64 * KIB);
  });
});

describe('iommu_map refuses', () => {
  const on = (machine: Partial<MachineOptions>, options: Partial<DomainOptions>, fn: (map: MapOf) => void): void => {
    using m = testMachine(machine);
    using domain = domainOf(m, options);
    fn((...args) => domain.map(...args));
    expect(domain.mappedPages).toBe(0);
  };
  type MapOf = (iova: number, paddr: number, size: number, prot: number) => void;

  test.each([
    ['iova', 4096, 0, 64 * KIB],
    ['paddr', 0, 4096, 64 * KIB],
    ['size', 0, 0, 4096],
  ])('%s that is a multiple of a CPU page but not of the granule: EINVAL', (_what, iova, offset, size) => {
    on({}, { pgsizeBitmap: GRANULE_64K }, (map) => {
      expect(() => map(IOVA + iova, BIG_BAR + offset, size, RW)).toThrow(error('EINVAL'));
    });
  });

  test('unaligned ranges with ENXIO, and empty ones, where the page table is handed whole ranges', () => {
    for (const options of [{ kernel: '7.3' }, { quirks: ['iommu.wholeRanges'] }] as const) {
      on(options, {}, (map) => {
        expect(() => map(IOVA, BIG_BAR + 2048, 4096, RW)).toThrow(error('ENXIO'));
        expect(() => map(IOVA, BIG_BAR, 0, RW)).toThrow(error('EINVAL'));
      });
    }
    on({}, {}, (map) => map(IOVA, BIG_BAR, 0, RW));
  });

  test('what the aperture does not have: ERANGE', () => {
    on({}, { aperture: { start: GIB, end: 2 ** 32 - 1 } }, (map) => {
      expect(() => map(GIB - 4096, BIG_BAR, 4096, RW)).toThrow(error('ERANGE'));
      expect(() => map(2 ** 32 - 4096, BIG_BAR, 8192, RW)).toThrow(error('ERANGE'));
      expect(() => map(2 ** 32, BIG_BAR, 4096, RW)).toThrow(error('ERANGE'));
    });
  });

  test('the last page of 2^64 and one more: EOVERFLOW', () => {
    on({}, {}, (map) => {
      expect(() => map(2 ** 64 - 2048 * 2, BIG_BAR, 8192, RW)).toThrow(error('EOVERFLOW'));
      expect(() => map(2 ** 64 - 8192, BIG_BAR, 8192, RW)).toThrow(error('ERANGE'));
    });
  });

  test('physical addresses that an entry cannot hold: ERANGE, before the range is looked at', () => {
    on({}, { outputBits: 38 }, (map) => {
      expect(() => map(IOVA, BIG_BAR, 4096, RW)).toThrow(error('ERANGE'));
      expect(() => map(2 ** 64 - 4096, BIG_BAR, 8192, RW)).toThrow(error('ERANGE'));
    });
  });

  test.each([{ aperture: { start: 8192, end: 4096 } }, { aperture: { start: 0, end: 2 ** 48 } }, { outputBits: 53 }])(
    'a domain of %o',
    (options) => {
      using machine = testMachine();
      expect(() => domainOf(machine, options)).toThrow(error('EINVAL'));
    },
  );

  test('a sync that fails, and unmaps everything then', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    machine.faults.failNth(1, { site: 'iommu.sync-map' });
    expect(() => domain.map(IOVA, BIG_BAR, GIB + 4096, RW)).toThrow(error('ENOMEM'));
    expect([...domain.mappings()]).toEqual([]);
    domain.mapNosync(IOVA, BIG_BAR, 4096, RW);
    domain.sync(IOVA, 4096);
    expect(domain.iovaToPhys(IOVA)).toBe(BIG_BAR);
  });
});

test('IOVAs are given out inside the aperture', () => {
  using machine = testMachine();
  using domain = domainOf(machine, { type: 'dma', aperture: { start: 4 * MIB, end: 8 * MIB - 1 } });
  const given: number[] = [];
  for (let iova = domain.iovaAlloc(MIB); iova !== 0; iova = domain.iovaAlloc(MIB)) given.push(iova / MIB);
  expect(given).toEqual([7, 6, 5, 4]);
  for (const iova of given) domain.iovaFree(iova * MIB, MIB);
  expect(domain.iova!.livePages()).toBe(0);
});

describe('splitting', () => {
  test('makes small pages of a large leaf where it is asked to, and changes no translation', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    domain.map(IOVA, BIG_BAR, 2 * GIB, RW);
    expect(domain.split(IOVA + 6 * MIB, 4096)).toBe(2);
    expect(domain.leafSizeAt(IOVA + 6 * MIB + MIB)).toBe(4096);
    expect(domain.leafSizeAt(IOVA + 8 * MIB)).toBe(2 * MIB);
    expect(domain.leafSizeAt(IOVA + GIB)).toBe(GIB);
    expect(domain.split(IOVA, 2 * GIB, 2 * MIB)).toBe(1);
    for (let at = 0; at < 2 * GIB; at += 12_345_678) expect(domain.iovaToPhys(IOVA + at)).toBe(BIG_BAR + at);
    expect(domain.unmap(IOVA + 6 * MIB, 4096)).toBe(4096);
    expect(domain.unmap(IOVA + 8 * MIB, 4096)).toBe(2 * MIB);
    expect(domain.audit()).toEqual([]);
  });

  test('skips sizes that the domain does not have', () => {
    using machine = testMachine({ memoryBytes: 16 * MIB });
    using domain = domainOf(machine, { pgsizeBitmap: 4 * KIB + 2 * MIB + 64 * MIB });
    domain.map(IOVA, BIG_BAR, 128 * MIB, RW);
    expect(domain.split(IOVA + 64 * MIB, 1, 32 * MIB)).toBe(1);
    expect(domain.leafSizeAt(IOVA + 127 * MIB)).toBe(2 * MIB);
    expect(domain.leafSizeAt(IOVA)).toBe(64 * MIB);
  });

  test('two levels at once', () => {
    using machine = testMachine({ memoryBytes: 16 * MIB, arenaBytes: 32 * MIB });
    using domain = domainOf(machine, { pgsizeBitmap: 64 * KIB + GIB });
    domain.map(IOVA, BIG_BAR, GIB, RW);
    expect(domain.split(IOVA, 4096)).toBe(1);
    expect(domain.leafSizeAt(IOVA + GIB - 1)).toBe(64 * KIB);
    expect([...domain.mappings()].length).toBe(GIB / (64 * KIB));
    expect(domain.unmap(IOVA + 64 * KIB, GIB - 64 * KIB)).toBe(GIB - 64 * KIB);
    expect(domain.audit()).toEqual([]);
  });

  test('what is refused', () => {
    using machine = testMachine();
    using domain = domainOf(machine, { pgsizeBitmap: GRANULE_64K });
    using identity = domainOf(machine, { type: 'identity' });
    expect(() => domain.split(IOVA, 4096, 4096)).toThrow(error('EINVAL'));
    expect(() => identity.split(IOVA, 4096)).toThrow(error('EINVAL'));
    expect(() => domain.split(2 ** 48, 4096)).toThrow(error('ERANGE'));
    expect(domain.split(0, 2 ** 48)).toBe(0);
  });

  test('every failing allocation leaves translations and tables whole', () => {
    for (let nth = 1; ; nth++) {
      using machine = testMachine();
      using domain = domainOf(machine, { pgsizeBitmap: 4 * KIB + 2 * MIB + 8 * MIB });
      domain.map(IOVA, BIG_BAR, 16 * MIB, RW);
      machine.faults.failNth(nth);
      let failed = false;
      try {
        domain.split(IOVA + 7 * MIB, 2 * MIB);
      } catch (e) {
        expect(e).toMatchObject({ code: 'ENOMEM' });
        failed = true;
      }
      machine.faults.off();
      expect(domain.audit()).toEqual([]);
      for (let at = 0; at < 16 * MIB; at += MIB) expect(domain.iovaToPhys(IOVA + at)).toBe(BIG_BAR + at);
      if (!failed) {
        expect(nth).toBe(3);
        return;
      }
      expect(domain.split(IOVA + 7 * MIB, 2 * MIB)).toBeGreaterThan(0);
      expect(domain.leafSizeAt(IOVA + 7 * MIB)).toBe(4096);
      expect(domain.unmap(IOVA, 16 * MIB)).toBe(16 * MIB);
    }
  });
});

test('a million live mappings of single pages take eight bytes each', () => {
  using machine = testMachine({ arenaBytes: 32 * MIB });
  using domain = domainOf(machine, { pgsizeBitmap: 4 * KIB });
  const [pages, before] = [2 ** 20, machine.arena.usage().usedBytes];
  // No two neighbours stand for neighbouring frames.
  const paddrOf = (page: number): number => BIG_BAR + ((page * 7919) % pages) * 4096;
  for (let page = 0; page < pages; page++) domain.map(IOVA + page * 8192, paddrOf(page), 4096, RW);
  expect(domain.mappedPages).toBe(pages);
  expect(machine.arena.usage().usedBytes - before).toBeLessThan(pages * 9);
  for (let page = 0; page < pages; page += 4097) {
    expect(domain.iovaToPhys(IOVA + page * 8192 + 1)).toBe(paddrOf(page) + 1);
    expect(domain.iovaToPhys(IOVA + page * 8192 + 4096)).toBe(0);
  }
  expect(domain.audit()).toEqual([]);
});
