import { propertyRuns, propertyTimeoutMs, testMachine } from '@dmabuf-emu/shm/testing';
import { IovaSpace } from '#dist/iommu/iova-space.js';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IovaModel } from './iova-model.fixture.ts';

const LOW = 2 ** 20;

/** What one step does: take, take without flushing, give back one, give back many. */
const step = fc.record({
  what: fc.constantFrom('alloc', 'alloc', 'alloc', 'try', 'free', 'freeMany'),
  pages: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(1, 64, 100, 255)),
  /** Limits below 4 GiB and above, which take turns at the same remembered places. */
  limit: fc.constantFrom(512, 1024, 1024, LOW, LOW + 600, LOW + 1200),
  pick: fc.nat(1000),
});

test(
  'gives out address by address what a plain list does (drivers §3.2)',
  { timeout: propertyTimeoutMs(60_000) },
  () => {
    const reserved = fc.array(fc.tuple(fc.nat(1100), fc.integer({ min: 1, max: 200 })), { maxLength: 4 });
    fc.assert(
      fc.property(reserved, fc.array(step, { minLength: 20, maxLength: 250 }), (windows, steps) => {
        using machine = testMachine();
        const top = (LOW + 1300) * 4096 - 1;
        // All but the lowest pages and those around 4 GiB is taken, or the list would be long.
        const holes = [{ start: 1100 * 4096, end: (LOW - 200) * 4096 - 1 }];
        const ranges = [
          ...holes,
          ...windows.map(([first, pages]) => ({ start: first * 4096, end: (first + pages) * 4096 - 1 })),
        ];
        const ref = IovaSpace.create(machine, { aperture: { start: 0, end: top }, reserved: ranges });
        const space = new IovaSpace(machine, ref);
        const model = new IovaModel();
        for (const { start, end } of ranges) model.reserve(start / 4096, (end + 1) / 4096);
        const live: [page: number, pages: number][] = [];
        const giveBack = (i: number): void => {
          const [[page, pages]] = live.splice(i, 1) as [[number, number]];
          space.free(page, pages);
          model.free(page, pages);
        };
        for (const { what, pages, limit, pick } of steps) {
          if (what === 'free' || what === 'freeMany') {
            for (let n = what === 'free' ? 1 : 20; n > 0 && live.length > 0; n--) giveBack(pick % live.length);
            continue;
          }
          const page = space.alloc(pages, limit, what === 'alloc');
          expect(page).toBe(model.alloc(pages, limit, what === 'alloc'));
          if (page !== 0) live.push([page, pages]);
        }
        expect(space.ranges()).toEqual(model.ranges.map(({ first, end }) => [first, end]));
        expect(space.audit()).toEqual([]);
        while (live.length > 0) giveBack(live.length - 1);
        expect(space.livePages()).toBe(0);
        space.destroy();
      }),
      { numRuns: propertyRuns(60) },
    );
  },
);
