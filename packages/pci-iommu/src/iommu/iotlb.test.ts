import { setSyncHook } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { BIG_BAR, smallMemory } from '../memory/test-memory.ts';
import { testSystem } from '../system/test-system.ts';
import { IommuDomain, IommuProt, IotlbGather } from './index.ts';

const RW = IommuProt.READ | IommuProt.WRITE;
const IOVA = 0x10_0000;
const SETS = 16;

function domainOf(machine: ReturnType<typeof testMachine>): IommuDomain & Disposable {
  const domain = IommuDomain.create(machine, smallMemory(machine).map, {
    type: 'unmanaged',
    iotlb: { sets: SETS, ways: 4 },
  });
  return Object.assign(domain, { [Symbol.dispose]: () => domain.destroy() });
}

/** Runs `step` when a translation has read the page table and is about to be cached. */
function beforeFill(step: () => void, fn: () => void): void {
  let pending = true;
  const former = setSyncHook((label) => {
    if (label !== 'iotlb.fill' || !pending) return;
    pending = false;
    step();
  });
  try {
    fn();
  } finally {
    setSyncHook(former);
  }
  expect(pending).toBe(false);
}

describe('a fill that an invalidation overtook', () => {
  test.each(['unmap', 'flush'] as const)('is void after %s', (how) => {
    using machine = testMachine();
    using domain = domainOf(machine);
    domain.map(IOVA, 0x9000, 4096, RW);
    domain.translate(1, true);
    beforeFill(
      () => {
        if (how === 'unmap') domain.unmap(IOVA, 4096);
        else {
          domain.unmapFast(IOVA, 4096, new IotlbGather());
          domain.flushIotlb();
        }
      },
      () => expect(domain.translate(IOVA / 4096, true) >>> 2).toBe(9),
    );
    expect(domain.iotlb!.count()).toBe(0);
    expect(domain.translate(IOVA / 4096, true)).toBe(0);
  });

  test('is void when another page of its set was invalidated again since', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    const other = IOVA + SETS * 4096;
    domain.map(IOVA, 0x9000, 4096, RW);
    domain.map(other, 0x1_0000, 4096, RW);
    beforeFill(
      () => {
        domain.unmap(IOVA, 4096);
        domain.unmap(other, 4096);
      },
      () => domain.translate(IOVA / 4096, true),
    );
    expect(domain.translate(IOVA / 4096, true)).toBe(0);
  });
});

describe('an invalidation', () => {
  test('leaves the other pages of the set, stale ones too', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    const at = [0, 1, 2, 3].map((i) => IOVA + i * SETS * 4096);
    for (const [i, iova] of at.entries()) {
      domain.map(iova, 0x9000 + i * 4096, 4096, RW);
      domain.translate(iova / 4096, true);
    }
    const gather = new IotlbGather();
    domain.unmapFast(at[1]!, 4096, gather);
    domain.unmap(at[2]!, 4096);
    const hits = domain.iotlbStats.hits;
    expect(at.map((iova) => domain.translate(iova / 4096, true) >>> 2)).toEqual([9, 10, 0, 12]);
    expect(domain.iotlbStats.hits - hits).toBe(3);
    expect(domain.translate(at[1]! / 4096, true) >>> 2).toBe(10);
    expect(domain.staleHit).toBe(true);
    domain.iotlbSync(gather);
    expect(domain.translate(at[1]! / 4096, true)).toBe(0);
    domain.unmap(at[0]!, 4096);
    domain.unmap(at[3]!, 4096);
  });
});

test('a set forgets its oldest page first', () => {
  using machine = testMachine();
  using domain = domainOf(machine);
  const at = [0, 1, 2, 3, 4].map((i) => IOVA + i * SETS * 4096);
  for (const iova of at) domain.map(iova, 0x9000, 4096, RW);
  for (const iova of at) domain.translate(iova / 4096, true);
  const { hits } = domain.iotlbStats;
  for (const iova of at.slice(1)) domain.translate(iova / 4096, true);
  expect(domain.iotlbStats.hits - hits).toBe(4);
  domain.translate(at[0]! / 4096, true);
  expect(domain.iotlbStats.hits - hits).toBe(4);
  for (const iova of at) domain.unmap(iova, 4096);
});

test('invalidations of a range, a domain and the machine take what they name, and are counted apart', () => {
  using machine = testMachine();
  const pci = testSystem(machine);
  const [one, other] = [pci.createDomain(), pci.createDomain()];
  const fill = (): void => {
    for (const domain of [one, other]) for (const page of [0, 1, 2]) domain.translate(IOVA / 4096 + page, false);
  };
  const cached = (): number[] => [one.iotlb!.count(), other.iotlb!.count()];
  for (const domain of [one, other]) domain.map(IOVA, 0x9000, 3 * 4096, RW);
  fill();
  const gather = new IotlbGather();
  gather.add(IOVA / 4096 + 1, IOVA / 4096 + 3);
  one.iotlbSync(gather);
  expect(cached()).toEqual([1, 3]);
  fill();
  one.flushIotlb();
  expect(cached()).toEqual([0, 3]);
  fill();
  pci.flushIotlbs();
  expect(cached()).toEqual([0, 0]);
  expect(one.iotlbStats).toMatchObject({ invalidations: 3, domainInvalidations: 1, globalInvalidations: 1 });
  expect(other.iotlbStats).toMatchObject({ invalidations: 1, domainInvalidations: 0, globalInvalidations: 1 });
  for (const domain of [one, other]) {
    domain.unmap(IOVA, 3 * 4096);
    domain.destroy();
  }
});

describe('a large page', () => {
  const LARGE = 2 ** 21;

  test('is one entry, whatever part of it is used, and goes when any part is invalidated', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    domain.map(LARGE, BIG_BAR, 2 * LARGE, RW);
    for (let page = 512; page < 1536; page += 7) {
      const frame = domain.translate(page, true) >>> 2;
      expect(domain.memoryMap.paddrOf(frame)).toBe(BIG_BAR + page * 4096 - LARGE);
    }
    expect([domain.iotlb!.count(), domain.iotlb!.largeCount()]).toEqual([2, 2]);
    expect(domain.iotlbStats).toMatchObject({ hits: 145, misses: 2 });
    domain.iotlb!.invalidate(700, 701);
    expect(domain.iotlb!.largeCount()).toBe(1);
    domain.unmap(LARGE, 2 * LARGE);
    expect(domain.iotlb!.count()).toBe(0);
    expect(domain.translate(700, true)).toBe(0);
  });

  test('of 1 GiB is kept in parts of 2 MiB', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    domain.map(2 ** 30, BIG_BAR, 2 ** 30, RW);
    for (const page of [2 ** 18, 2 ** 18 + 5, 2 ** 18 + 512]) domain.translate(page, true);
    expect(domain.iotlb!.largeCount()).toBe(2);
    domain.unmap(2 ** 30, 2 ** 30);
    expect(domain.iotlb!.count()).toBe(0);
  });

  test('stays usable until it is invalidated, and is void when an invalidation overtook its fill', () => {
    using machine = testMachine();
    using domain = domainOf(machine);
    domain.map(LARGE, BIG_BAR, LARGE, RW);
    const entry = domain.translate(600, true);
    const gather = new IotlbGather();
    domain.unmapFast(LARGE, LARGE, gather);
    expect([domain.translate(600, true), domain.staleHit]).toEqual([entry, true]);
    domain.iotlbSync(gather);
    domain.map(LARGE, BIG_BAR, LARGE, RW);
    beforeFill(
      () => domain.unmap(LARGE, LARGE),
      () => expect(domain.translate(600, true)).toBe(entry),
    );
    expect(domain.iotlb!.count()).toBe(0);
  });
});
