import { FdTable, File, registerFileOps } from '@dmabuf-emu/core';
import { isKernelError } from '@dmabuf-emu/shm';
import { propertyRuns, testMachine } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const LIMIT = 3000;
/** More than one word of the map of entries that are full, and no whole one. */
const OPEN = 2500;

const step = fc.oneof(
  fc.record({ op: fc.constant('close' as const), n: fc.nat(LIMIT - 1) }),
  fc.record({ op: fc.constant('closeRun' as const), n: fc.nat(LIMIT - 1) }),
  fc.record({ op: fc.constant('install' as const), n: fc.nat(200) }),
  fc.record({ op: fc.constant('dup' as const), n: fc.nat(LIMIT + 10) }),
  fc.record({ op: fc.constant('reserve' as const), n: fc.constant(0) }),
  fc.record({ op: fc.constant('limit' as const), n: fc.integer({ min: 1, max: LIMIT }) }),
);

/** The lowest number from `least` on that is not in `taken`; -1 at the limit. */
function lowestFree(taken: ReadonlySet<number>, least: number, limit: number): number {
  let fd = least;
  while (taken.has(fd)) fd++;
  return fd < limit ? fd : -1;
}

/** What `take` returns; -1 for EMFILE. */
function attempt(take: () => number): number {
  try {
    return take();
  } catch (error) {
    if (isKernelError(error, 'EMFILE')) return -1;
    throw error;
  }
}

describe('any sequence of calls of a large descriptor table', () => {
  it('gives out the descriptors that a set gives out', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        using machine = testMachine();
        registerFileOps(machine, { name: 'plain', release: () => {} });
        const table = FdTable.create(machine, { limit: LIMIT }).join();
        const file = File.create(machine, { type: 'plain', priv: 1, flags: 0 });
        const taken = new Set(Array.from({ length: OPEN }, () => table.install(file.get())));
        let limit = LIMIT;
        const takes = (fd: number, least = 0): number => {
          expect(fd).toBe(lowestFree(taken, least, limit));
          if (fd >= 0) taken.add(fd);
          return fd;
        };
        const close = (fd: number): void => {
          if (taken.delete(fd)) table.close(fd);
        };
        for (const { op, n } of steps) {
          if (op === 'close') close(n);
          else if (op === 'closeRun') for (let fd = n; fd < n + 100; fd++) close(fd);
          else if (op === 'install') {
            for (let i = 0; i < n; i++) if (takes(attempt(() => table.install(file.get()))) < 0) file.put();
          } else if (op === 'dup') {
            const [source] = taken;
            if (source !== undefined)
              takes(
                attempt(() => table.dup(source, n)),
                n,
              );
          } else if (op === 'reserve') {
            const fd = takes(attempt(() => table.reserve()));
            if (fd < 0) continue;
            table.unreserve(fd);
            taken.delete(fd);
          } else table.limit = limit = n;
        }
        expect(table.entries().map(({ fd }) => fd)).toEqual([...taken].toSorted((a, b) => a - b));
        expect(table.size).toBe(taken.size);
        file.put();
        FdTable.exit(machine);
      }),
      { numRuns: propertyRuns(40) },
    );
  });
});
