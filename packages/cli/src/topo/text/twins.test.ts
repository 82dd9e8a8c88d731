import { cellText } from '#dist/topo/text/cell-text.js';
import { foldedTwins, singles } from '#dist/topo/text/twins.js';
import type { ChosenDevice } from '#dist/topo/choose-devices.js';
import type { P2pTable } from '#dist/topo/machine-view.js';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { tableOf, viewOf } from '../test-view.ts';

const labelsOf = (table: P2pTable): readonly string[] => foldedTwins(table).map(({ label }) => label);

test('functions below one switch are twins, categories are not mixed', () => {
  expect(labelsOf(tableOf(viewOf('aurora-8ve')))).toEqual(['NIC0', 'VE0-3', 'VE4-7', 'NIC1']);
  expect(labelsOf(tableOf(viewOf('aurora-8ve'), 've0,ve2,nic0'))).toEqual(['NIC0', 'VE0+1']);
  expect(singles(tableOf(viewOf('aurora-8ve'), 've0,ve2')).map(({ label }) => label)).toEqual(['VE0', 'VE2']);
});

test('a folded table says what the whole one says', () => {
  const table = tableOf(viewOf('genoa-4gpu'));
  const types = ['BUS_ADDR', 'THRU_HOST_BRIDGE', 'NOT_SUPPORTED', 'UNKNOWN'] as const;
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat(1)), fc.integer({ min: 1, max: 9 }), fc.nat(3), (bits, count, kinds) => {
      const devices: readonly ChosenDevice[] = table.devices
        .slice(0, count)
        .map(({ fn, label }) => ({ fn, label, category: null }));
      const answers = devices.map(() =>
        devices.map(() => ({ ...table.at(0, 1), type: types[bits.next().value! * kinds]!, distance: 2 })),
      );
      const random = { devices, at: (row: number, column: number) => answers[row]![column]! } as unknown as P2pTable;
      const lines = foldedTwins(random);
      expect(lines.flatMap((line) => line.devices).toSorted((a, b) => a.fn.index - b.fn.index)).toEqual(devices);
      for (const row of lines) {
        for (const column of lines) {
          const shown = cellText(random.at(row.sample[0], column === row ? row.sample[1] : column.sample[0]));
          for (const from of row.devices) {
            for (const to of column.devices) {
              if (from === to) continue;
              expect(cellText(random.at(devices.indexOf(from), devices.indexOf(to)))).toBe(shown);
            }
          }
        }
      }
    }),
    { numRuns: 300 },
  );
});
