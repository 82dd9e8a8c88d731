import { Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { IovaSpace } from '#dist/iommu/iova-space.js';
import { describe, expect, test } from 'vitest';
import { smallMemory } from '../memory/test-memory.ts';
import { IommuDomain, type IovaOptions } from './index.ts';

const LOW = 2 ** 20;
const ALL = 2 ** 36;
/** Too many pages for a magazine. */
const BIG = 64;

function spaceOf(machine: Machine, options: IovaOptions = {}): IovaSpace & Disposable {
  const space = new IovaSpace(machine, IovaSpace.create(machine, options));
  return Object.assign(space, { [Symbol.dispose]: () => space.destroy() });
}

describe('IOVA allocator, fact by fact (drivers §3.2)', () => {
  test.each([16_384, 65_536])('pages of %d bytes', (granule) => {
    using machine = testMachine();
    const { map } = smallMemory(machine);
    const domain = IommuDomain.create(machine, map, { type: 'dma', pgsizeBitmap: granule });
    expect(domain.iova!.granule).toBe(granule);
    expect(domain.iovaAlloc(1, 2 ** 32 - 1)).toBe(2 ** 32 - granule);
    expect(domain.iovaAlloc(granule + 1, 2 ** 32 - 1)).toBe(2 ** 32 - 4 * granule);
    domain.map(2 ** 32 - granule, 0, granule, 3);
    expect(domain.unmap(2 ** 32 - granule, granule)).toBe(granule);
    domain.iovaFree(2 ** 32 - granule, 1);
    domain.iovaFree(2 ** 32 - 4 * granule, granule + 1);
    expect(domain.livePages).toBe(0);
    domain.destroy();
  });

  test('a granule that is no power of two, or an aperture without a page, is refused', () => {
    using machine = testMachine();
    for (const granule of [0, 2048, 12_288]) expect(() => IovaSpace.create(machine, { granule })).toThrow(/EINVAL/u);
    expect(() => IovaSpace.create(machine, { aperture: { start: 0, end: 4094 } })).toThrow(/EFAULT/u);
  });

  test('nothing is given out outside of the aperture', () => {
    using machine = testMachine();
    using space = spaceOf(machine, { aperture: { start: 0x10_0000, end: 0x10_3fff } });
    expect([0, 1, 2, 3].map(() => space.alloc(1, ALL, true))).toEqual([0x103, 0x102, 0x101, 0x100]);
    expect(space.alloc(1, ALL, true)).toBe(0);
  });

  test('the search goes on below what was taken last, and from the top when nothing is left there', () => {
    using machine = testMachine();
    using space = spaceOf(machine);
    expect(space.alloc(BIG, 1024, true)).toBe(1024 - BIG);
    expect(space.alloc(BIG, LOW, true)).toBe(1024 - 2 * BIG);
    space.reserve({ start: 0, end: (1024 - 2 * BIG) * 4096 - 1 });
    expect(space.alloc(BIG, LOW, true)).toBe(LOW - BIG);
  });

  test('below and above 4 GiB have places of their own', () => {
    using machine = testMachine();
    using space = spaceOf(machine);
    const high = space.alloc(BIG, ALL, true);
    expect(space.alloc(BIG, LOW, true)).toBe(LOW - BIG);
    expect(space.alloc(BIG, ALL, true)).toBe(high - BIG);
    expect(space.alloc(BIG, LOW, true)).toBe(LOW - 2 * BIG);
  });

  test('what is given back above moves the place up, what is reserved does not move it', () => {
    using machine = testMachine();
    using space = spaceOf(machine);
    const [a, b] = [space.alloc(BIG, LOW, true), space.alloc(BIG, LOW, true)];
    space.reserve({ start: 0x1000, end: 0x1fff });
    space.free(a, BIG);
    expect(space.alloc(BIG, LOW, true)).toBe(a);
    space.free(b, BIG);
    expect(space.alloc(BIG, LOW, true)).toBe(b);
  });

  test('a size that failed below 4 GiB fails at once, until a range there goes back to the tree', () => {
    using machine = testMachine();
    using space = spaceOf(machine);
    const block = space.alloc(512, 1024, true);
    expect(space.alloc(512, 1024, true)).toBe(0);
    // There is room below 4 GiB, but nobody looks.
    expect(space.alloc(512, LOW, true)).toBe(0);
    expect(space.alloc(511, LOW, true)).toBe(LOW - 512);
    expect(space.alloc(512, LOW + 1, true)).not.toBe(0);
    space.free(block, 512);
    expect(space.alloc(512, LOW, true)).not.toBe(0);
  });

  test('a request with a higher limit that fails counts too', () => {
    using machine = testMachine();
    using space = spaceOf(machine, { aperture: { start: 0, end: (LOW + 64) * 4096 - 1 } });
    expect(space.alloc(2 * LOW, ALL, true)).toBe(0);
    expect(space.alloc(2 * LOW, LOW, true)).toBe(0);
    expect(space.alloc(LOW / 2, LOW, true)).toBe(LOW / 2);
  });

  test('sizes below 32 pages are rounded up to a power of two, so that they are recycled for each other', () => {
    using machine = testMachine();
    using space = spaceOf(machine);
    const three = space.alloc(3, LOW, true);
    expect(space.ranges()).toEqual([[three, three + 4]]);
    space.free(three, 3);
    expect(space.alloc(4, LOW, true)).toBe(three);
    const seventeen = space.alloc(17, LOW, true);
    expect(space.ranges()).toContainEqual([seventeen, seventeen + 32]);
    expect(space.ranges()).not.toContainEqual([space.alloc(33, LOW, true), seventeen + 64]);
  });

  test('what was freed last is given out first, but only below the limit', () => {
    using machine = testMachine();
    using space = spaceOf(machine);
    const pages = Array.from({ length: 5 }, () => space.alloc(1, LOW, true));
    for (const page of pages) space.free(page, 1);
    expect(space.alloc(1, LOW, true)).toBe(pages[4]);
    space.free(pages[4]!, 1);
    space.free(space.alloc(1, LOW, true), 1);
    // pages[3] is the newest one below pages[2].
    expect(space.alloc(1, pages[2]!, true)).toBe(pages[4]);
    expect(space.alloc(1, pages[2]!, true)).toBe(pages[3]);
    expect(space.alloc(1, pages[2]!, true)).toBeLessThan(pages[4]!);
  });

  test('the depot is trimmed by one magazine each 100 ms while it has more than there are tasks', () => {
    using machine = testMachine({ clock: 'manual' });
    using space = spaceOf(machine);
    const pages = Array.from({ length: 127 * 7 }, () => space.alloc(1, LOW, true));
    for (const page of pages) space.free(page, 1);
    expect(space.depotOf(0)).toBe(5);
    machine.clock.advance(99);
    expect(space.depotOf(0)).toBe(5);
    const seen = [0, 1, 2, 3, 4, 5].map((i) => {
      machine.clock.advance(i === 0 ? 1 : 100);
      return space.depotOf(0);
    });
    expect(seen).toEqual([4, 3, 2, 1, 1, 1]);
    expect(space).toMatchObject({ rangeCount: 3 * 127 });
    expect(space.livePages()).toBe(0);
  });

  test('a depot that cannot get a timer is trimmed after the next magazine', () => {
    using machine = testMachine({ clock: 'manual' });
    using space = spaceOf(machine);
    const pages = Array.from({ length: 127 * 6 }, () => space.alloc(1, LOW, true));
    machine.faults.failNth(1, { site: 'timer' });
    for (const page of pages.splice(0, 127 * 2 + 1)) space.free(page, 1);
    expect(machine.faults.count).toBe(1);
    expect(space.depotOf(0)).toBe(1);
    for (const page of pages) space.free(page, 1);
    for (let i = 0; i < 5; i++) machine.clock.advance(100);
    expect(space.depotOf(0)).toBe(1);
  });

  test('a free takes the whole range, whatever size it names', () => {
    using machine = testMachine();
    using space = spaceOf(machine);
    const page = space.alloc(100, LOW, true);
    space.free(page + 3, 50);
    expect(space.ranges()).toEqual([]);
  });

  test('overlapping reserved ranges count once', () => {
    using machine = testMachine();
    using space = spaceOf(machine, {
      reserved: [
        { start: 0x4000, end: 0x7fff },
        { start: 0x2000, end: 0x5fff },
        { start: 0x3001, end: 0x9000 },
      ],
    });
    expect(space.ranges().reduce((sum, [first, end]) => sum + end - first, 0)).toBe(8);
    expect(space.livePages()).toBe(0);
  });

  test('a task with a high number has magazines of its own', () => {
    using machine = testMachine();
    const ref = IovaSpace.create(machine);
    const space = new IovaSpace(machine, ref);
    const many = Array.from({ length: 300 }, () => Machine.join(machine.handle));
    const last = new IovaSpace(many.at(-1)!, ref);
    const page = last.alloc(1, LOW, true);
    last.free(page, 1);
    expect(last.alloc(1, LOW, true)).toBe(page);
    last.free(page, 1);
    expect(space.livePages()).toBe(0);
    for (const joined of many) joined.leave();
    space.destroy();
  });
});
