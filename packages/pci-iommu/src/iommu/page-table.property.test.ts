import { propertyRuns, propertyTimeoutMs, testMachine } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { IommuDomain } from './iommu-domain.ts';
import { BIG_BAR, domainOf, GIB, KIB, MIB } from './test-domain.ts';

interface Piece {
  page: number;
  readonly pages: number;
  readonly physical: number;
  readonly prot: number;
  dirty: boolean;
}

/** More leaves than this in one mapping take the model too long. */
const MANY = 700;

/** A page table as a sorted list of leaves. */
class Model {
  leaves: Piece[] = [];
  /** In pages, largest first. */
  readonly #sizes: readonly number[];

  constructor(sizes: readonly number[]) {
    this.#sizes = sizes;
  }

  at(page: number): Piece | undefined {
    return this.leaves.find((leaf) => leaf.page <= page && page < leaf.page + leaf.pages);
  }

  map(page: number, physical: number, pages: number, prot: number): string {
    const made: Piece[] = [];
    for (let done = 0; done < pages;) {
      const size = this.#sizes.find((s) => s <= pages - done && (page + done) % s === 0 && (physical + done) % s === 0);
      if (size === undefined) return 'EINVAL';
      made.push({ page: page + done, pages: size, physical: physical + done, prot, dirty: false });
      done += size;
      if (made.length > MANY) return 'too many';
    }
    if (this.leaves.some((leaf) => leaf.page < page + pages && leaf.page + leaf.pages > page)) return 'EADDRINUSE';
    this.#set([...this.leaves, ...made]);
    return 'ok';
  }

  unmap(page: number, pages: number): number {
    let removed = 0;
    for (let at = page; at < page + pages;) {
      const leaf = this.at(at);
      if (leaf === undefined) break;
      this.leaves.splice(this.leaves.indexOf(leaf), 1);
      removed += leaf.pages;
      at = leaf.page + leaf.pages;
    }
    return removed;
  }

  split(page: number, end: number, size: number): number {
    let count = 0;
    for (;;) {
      const leaf = this.leaves.find((l) => l.pages > size && l.page < end && l.page + l.pages > page);
      if (leaf === undefined) return count;
      const next = this.#sizes.find((s) => s < leaf.pages)!;
      const pieces = Array.from({ length: leaf.pages / next }, (_, i) => ({
        ...leaf,
        page: leaf.page + i * next,
        pages: next,
        physical: leaf.physical + i * next,
      }));
      this.#set([...this.leaves.filter((l) => l !== leaf), ...pieces]);
      count++;
    }
  }

  write(page: number, end: number): void {
    for (const leaf of this.leaves) if (leaf.page < end && leaf.page + leaf.pages > page) leaf.dirty = true;
  }

  /** What is dirty, neighbours as one range. */
  get dirty(): { iova: number; size: number }[] {
    const ranges: { iova: number; size: number }[] = [];
    for (const { page, pages, dirty } of this.leaves) {
      const last = ranges.at(-1);
      if (dirty && last !== undefined && last.iova + last.size === page * 4096) last.size += pages * 4096;
      else if (dirty) ranges.push({ iova: page * 4096, size: pages * 4096 });
    }
    return ranges;
  }

  #set(leaves: Piece[]): void {
    this.leaves = leaves.toSorted((a, b) => a.page - b.page);
  }
}

const SIZES: readonly (readonly number[])[] = [
  [GIB, 2 * MIB, 4 * KIB],
  [4 * KIB],
  [2 * MIB, 4 * KIB],
  [512 * MIB, 64 * KIB],
  [32 * MIB, 16 * KIB],
  Array.from({ length: 20 }, (_, i) => 2 ** (31 - i)),
  [GIB, 4 * MIB, 2 * MIB, 32 * KIB, 8 * KIB, 4 * KIB],
];
/** Where tables meet, and offsets from there: few, so that steps meet each other. */
const PLACES = [0, GIB, 512 * GIB - GIB, 2 ** 48 - 2 * GIB];
const OFFSETS = [0, 0, 4 * KIB, 60 * KIB, 64 * KIB, 2 * MIB - 4 * KIB, 2 * MIB, 4 * MIB, GIB - 2 * MIB, GIB];
const LENGTHS = [4 * KIB, 4 * KIB, 8 * KIB, 64 * KIB, MIB, 2 * MIB, 4 * MIB, 512 * MIB, GIB];

const place = fc.constantFrom(...OFFSETS).map((offset) => offset / 4096);
const length = fc
  .tuple(fc.constantFrom(...LENGTHS), fc.constantFrom(0, 0, 0, 4 * KIB, 64 * KIB))
  .map(([bytes, more]) => (bytes + more) / 4096);
/** Pages by which the physical addresses are off: mostly none, so that large leaves fit. */
const shift = fc.constantFrom(0, 0, 0, 0, 1, 16, 512);
const step = fc.tuple(fc.constantFrom('map', 'map', 'map', 'unmap', 'split', 'write'), place, length, shift, fc.nat(2));
const setup = fc.tuple(fc.nat(SIZES.length - 1), fc.constantFrom(...PLACES), fc.boolean());
type Step = [what: string, page: number, pages: number, shift: number, other: number];

function run(
  domain: IommuDomain,
  model: Model,
  sizes: readonly number[],
  base: number,
  [what, offset, pages, by, other]: Step,
): void {
  const page = base + offset;
  const [iova, bytes] = [page * 4096, pages * 4096];
  if (page + pages > 2 ** 36) return;
  if (what === 'map') {
    // A page of 1 GiB's number, so that low bits of both addresses agree, plus what makes them disagree.
    const physical = BIG_BAR / 4096 + (page % (8 * (GIB / 4096))) + by;
    const expected = model.map(page, physical, pages, 1 + other);
    if (expected === 'too many') return;
    expect(outcome(() => domain.map(iova, physical * 4096, bytes, 1 + other))).toBe(expected);
  } else if (what === 'unmap') {
    const granule = sizes.at(-1)!;
    const aligned = iova % granule === 0 && bytes % granule === 0;
    expect(domain.unmap(iova, bytes)).toBe(aligned ? model.unmap(page, pages) * 4096 : 0);
  } else if (what === 'split') {
    const size = sizes[Math.max(0, sizes.length - 1 - other)]!;
    if (bytes / size <= 256) expect(domain.split(iova, bytes, size)).toBe(model.split(page, page + pages, size / 4096));
  } else if (what === 'write' && domain.tracksDirty) {
    const end = page + Math.min(pages, 20);
    domain.markDirty(page, end);
    model.write(page, end);
  }
  for (const at of [page - 1, page, page + pages - 1, page + pages, page + (pages >> 1)]) check(domain, model, at);
}

function check(domain: IommuDomain, model: Model, page: number): void {
  if (page < 0 || page >= 2 ** 36) return;
  const leaf = model.at(page);
  const physical = leaf === undefined ? 0 : (leaf.physical + page - leaf.page) * 4096;
  expect(domain.iovaToPhys(page * 4096 + 5)).toBe(leaf === undefined ? 0 : physical + 5);
  expect(domain.leafSizeAt(page * 4096)).toBe((leaf?.pages ?? 0) * 4096);
  const entry = domain.translate(page, true);
  expect(domain.staleHit).toBe(false);
  expect(entry & 3).toBe(leaf?.prot ?? 0);
  if (leaf !== undefined) expect(domain.memoryMap.paddrOf(entry >>> 2)).toBe(physical);
}

function outcome(fn: () => void): string {
  try {
    fn();
    return 'ok';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test('a page table does what a list of leaves does', { timeout: propertyTimeoutMs(60_000) }, () => {
  fc.assert(
    fc.property(setup, fc.array(step, { size: 'max', maxLength: 50 }), ([which, base, tracked], steps) => {
      using machine = testMachine({ arenaBytes: 48 * MIB });
      const sizes = SIZES[which]!;
      const pgsizeBitmap = sizes.reduce((sum, size) => sum + size, 0);
      using domain = domainOf(machine, { pgsizeBitmap, iotlb: { sets: 16, ways: 2 } });
      domain.setDirtyTracking(tracked);
      const model = new Model(sizes.map((size) => size / 4096));
      for (const one of steps) run(domain, model, sizes, base / 4096, one);
      const mappings = [...domain.mappings()].map(({ iova, paddr, size, prot }) => [iova, paddr, size, prot]);
      expect(mappings).toEqual(model.leaves.map((l) => [l.page * 4096, l.physical * 4096, l.pages * 4096, l.prot]));
      if (tracked) expect(domain.readAndClearDirty(0, 2 ** 48)).toEqual(model.dirty);
      expect(domain.audit()).toEqual([]);
    }),
    { numRuns: propertyRuns(100) },
  );
});
