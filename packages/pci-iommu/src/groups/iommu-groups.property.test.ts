import { propertyRuns } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AcsKnowledge, type FunctionDescription, type MachineDescription, Topology } from '../topology/index.ts';
import { type NodeName, twoRootMachine } from '../topology/test-machine.ts';
import { randomMachine } from '../topology/test-random-machine.ts';
import { type IommuGroup, iommuGroups } from './index.ts';
import { partitionOf } from './test-listings.ts';

const ON = { iommu: true };
/** What an ACS that is not known may be; the setup below lets each have its effect. */
const MEANINGS: readonly AcsKnowledge[] = [null, { cap: 0x1d, ctrl: 0x1d }];

function assignments(machine: MachineDescription): readonly MachineDescription[] {
  let machines: MachineDescription[] = [machine];
  machine.functions.forEach((fn, index) => {
    if (fn.acs !== 'unknown') return;
    const known = (acs: AcsKnowledge): FunctionDescription => ({ ...fn, acs });
    machines = machines.flatMap((one) =>
      MEANINGS.map((acs) => ({ ...one, functions: one.functions.with(index, known(acs)) })),
    );
  });
  return machines;
}

const NODES: readonly NodeName[] = ['RP0', 'RP1', 'U0', 'D0', 'D1', 'A0', 'A1'];
const acs: fc.Arbitrary<AcsKnowledge> = fc.constantFrom<AcsKnowledge>('unknown', 'unknown', null, {
  cap: 0x1d,
  ctrl: 0,
});
const unsure: fc.Arbitrary<MachineDescription> = fc
  .tuple(...NODES.map(() => acs))
  .map((words) => twoRootMachine({ acs: Object.fromEntries(NODES.map((node, i) => [node, words[i]!])) }));

function lines(groups: readonly IommuGroup[]): ReadonlySet<string> {
  return new Set(partitionOf(groups));
}

describe('for every machine of which something is not known', () => {
  test('a group rests on nothing exactly when it is a group whatever the unknowns mean', () => {
    fc.assert(
      fc.property(unsure, (machine) => {
        const worlds = assignments(machine).map((one) => lines(iommuGroups(new Topology(one), ON)));
        for (const group of iommuGroups(new Topology(machine), ON)) {
          const [line = ''] = partitionOf([group]);
          const always = worlds.every((world) => world.has(line));
          expect({ line, certain: group.restsOn.length === 0 }).toEqual({ line, certain: always });
        }
      }),
      { numRuns: propertyRuns(60) },
    );
  });
});

describe('for every machine', () => {
  test('the groups are a partition, and what is switched on never makes a group larger', () => {
    fc.assert(
      fc.property(randomMachine, (machine) => {
        const topology = new Topology(machine);
        const groups = iommuGroups(topology, ON);
        const members = groups.flatMap(({ functions }) => functions);
        expect(members).toHaveLength(topology.functions.length);
        expect(new Set(members).size).toBe(members.length);
        const direct = { ...ON, disableAcsRedir: topology.functions.map(({ bdf }) => bdf) };
        const larger = iommuGroups(topology, direct).map(({ functions }) => new Set(functions));
        for (const { functions } of groups) {
          expect(larger.some((whole) => functions.every((fn) => whole.has(fn)))).toBe(true);
        }
      }),
      { numRuns: propertyRuns(60) },
    );
  });
});
