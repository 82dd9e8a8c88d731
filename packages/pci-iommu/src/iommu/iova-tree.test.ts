import { Random } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { IovaSpace } from '#dist/iommu/iova-space.js';
import { IovaTree } from '#dist/iommu/iova-tree.js';
import { IovaStruct } from '#dist/iommu/iova-struct.js';
import { expect, test } from 'vitest';

/** The highest aligned free place by looking at every range. */
function bruteGap(
  ranges: readonly [number, number][],
  pages: number,
  align: number,
  high: number,
  low: number,
): number {
  let top = high;
  for (const [first, end] of [...ranges.toReversed(), [0, 0] as const]) {
    const at = Math.floor((top - pages) / align) * align;
    if (at < low) return 0;
    if (at >= end) return at;
    top = Math.min(top, first);
  }
  return 0;
}

test.each([1, 2, 3])('the tree stays whole through thousands of insertions and removals (seed %d)', (seed) => {
  using machine = testMachine();
  const ref = IovaSpace.create(machine);
  const tree = new IovaTree(machine, machine.slab(IovaStruct).at(ref));
  const random = new Random(seed);
  const plain = new Map<number, number>();
  const sorted = (): [number, number][] => [...plain].toSorted(([a], [b]) => a - b);
  for (let round = 0; round < 12; round++) {
    const grows = round % 4 < 2;
    for (let i = 0; i < 1500; i++) {
      const first = 8 * (1 + random.below(20_000));
      const taken = plain.get(first);
      if (grows && taken === undefined) {
        plain.set(first, first + 1 + random.below(8));
        tree.prepare();
        tree.insert(first, plain.get(first)!);
      } else if (!grows && taken !== undefined) {
        expect(tree.locate(taken - 1)).toBe(true);
        expect([tree.first, tree.end]).toEqual([first, taken]);
        tree.removeLocated();
        plain.delete(first);
      }
    }
    const ranges = sorted();
    const seen: [number, number][] = [];
    tree.each((first, end) => seen.push([first, end]));
    expect(seen).toEqual(ranges);
    expect(tree.count).toBe(ranges.length);
    for (let i = 0; i < 40; i++) {
      const [pages, order] = [1 + random.below(40), random.below(6)];
      const [high, low] = [random.below(170_000), 1 + random.below(2000)];
      expect(tree.findGap(pages, 2 ** order, high, low)).toBe(bruteGap(ranges, pages, 2 ** order, high, low));
      const page = random.below(170_000);
      const next = ranges.find(([first]) => first > page)?.[0] ?? Infinity;
      tree.locate(page);
      expect(tree.next).toBe(next);
    }
  }
  new IovaSpace(machine, ref).destroy();
});

test('every failing allocation of nodes is unwound', () => {
  using machine = testMachine();
  const ref = IovaSpace.create(machine);
  const space = new IovaSpace(machine, ref);
  const taken: number[] = [];
  for (let i = 0; i < 600; i++) {
    machine.faults.failNth(1, { site: 'iova.node' });
    let page = 0;
    try {
      page = space.alloc(40, 2 ** 20, true);
    } catch (error) {
      expect(error).toMatchObject({ code: 'ENOMEM' });
    }
    machine.faults.off();
    if (page === 0) page = space.alloc(40, 2 ** 20, true);
    taken.push(page);
  }
  expect(machine.faults.count).toBeGreaterThan(15);
  expect(space.audit()).toEqual([]);
  for (const page of taken) space.free(page, 40);
  expect(space).toMatchObject({ rangeCount: 0 });
  space.destroy();
});

test('more than a million live ranges cost no more than few', { timeout: 60_000 }, () => {
  using machine = testMachine({ arenaBytes: 160 << 20, debugObjects: false });
  const ref = IovaSpace.create(machine);
  const space = new IovaSpace(machine, ref);
  const count = 1_050_000;
  const first = space.alloc(33, 2 ** 36, true);
  for (let i = 1; i < count; i++) space.alloc(33, 2 ** 36, true);
  expect(space.rangeCount).toBe(count);
  // Every fourth one goes and comes back at its old place, the highest one first.
  for (let i = 0; i < count; i += 4) space.free(first - i * 64, 33);
  expect(space.alloc(33, 2 ** 36, true)).toBe(first);
  expect(space.alloc(33, 2 ** 36, true)).toBe(first - 4 * 64);
  expect(space.audit()).toEqual([]);
  space.destroy();
});
