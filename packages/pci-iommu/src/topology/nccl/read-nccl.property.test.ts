import { propertyRuns } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatBdf, readMachine, Topology } from '../index.ts';

/** A function of the file; the names of all are different. */
interface Item {
  readonly bdf: string;
  readonly children: readonly Item[];
}

const bdf = fc
  .record({
    domain: fc.constantFrom(0, 0, 0, 1, 0xffff),
    bus: fc.nat(0xff),
    slot: fc.constantFrom(0, 0, 0, 1, 2, 0x1f),
    func: fc.constantFrom(0, 0, 1),
  })
  .map((parts) => formatBdf(parts));

/** Trees of up to three levels, as flat lists of names that are cut into branches. */
const items: fc.Arbitrary<readonly Item[]> = fc
  .uniqueArray(bdf, { minLength: 1, maxLength: 24 })
  .chain((names) =>
    fc.record({ names: fc.constant(names), cuts: fc.array(fc.nat(3), { minLength: 24, maxLength: 24 }) }),
  )
  .map(({ names, cuts }) => {
    const tops: { bdf: string; children: { bdf: string; children: { bdf: string; children: never[] }[] }[] }[] = [];
    names.forEach((name, order) => {
      const depth = cuts[order] ?? 0;
      const top = tops.at(-1);
      const second = top?.children.at(-1);
      if (depth === 0 || top === undefined) tops.push({ bdf: name, children: [] });
      else if (depth === 1 || second === undefined) top.children.push({ bdf: name, children: [] });
      else second.children.push({ bdf: name, children: [] });
    });
    return tops;
  });

function xmlOf({ bdf: busid, children }: Item): string {
  const code = children.length > 0 ? '0x060400' : '0x020000';
  return `<pci busid="${busid}" class="${code}">${children.map((child) => xmlOf(child)).join('')}</pci>`;
}

/** Names from the top down to each function of the file. */
function pathsOf(list: readonly Item[], above: readonly string[]): readonly (readonly string[])[] {
  return list.flatMap((item) => [[...above, item.bdf], ...pathsOf(item.children, [...above, item.bdf])]);
}

test('whatever the names in a file, its tree comes out', () => {
  fc.assert(
    fc.property(items, (list) => {
      const reading = readMachine(`<system><cpu numaid="0">${list.map((item) => xmlOf(item)).join('')}</cpu></system>`);
      const topology = new Topology(reading.description);
      const read = topology.functions
        .filter((fn) => fn.label !== 'implied')
        .map((fn) =>
          topology
            .pathToRoot(fn)
            .filter((step) => step.label !== 'implied')
            .map((step) => step.label)
            .toReversed()
            .join(' '),
        );
      expect(read.toSorted()).toEqual(
        pathsOf(list, [])
          .map((path) => path.join(' '))
          .toSorted(),
      );
    }),
    { numRuns: propertyRuns(150) },
  );
});
