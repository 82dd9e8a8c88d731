import { propertyRuns } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { acsStateOf } from '../groups/index.ts';
import {
  type AcsKnowledge,
  type CpuDescription,
  type FunctionDescription,
  type MachineDescription,
  Topology,
} from '../topology/index.ts';
import { NODE, type NodeName, twoRootMachine } from '../topology/test-machine.ts';
import { randomMachine } from '../topology/test-random-machine.ts';
import { calcMapTypeAndDistance, explainP2p, HOST_BRIDGE_WHITELIST, p2pMapTypeName, type P2pSetup } from './index.ts';

/** Ids of which each means something else: listed, listed for itself only, other ACS registers, none of them. */
const DEVICES = [0x2030, 0x2f00, 0xa110, 0x8d10, 0x1234];
const INTEL = 0x8086;

/** Everything that a description may mean, with the values that make a difference. */
function assignments(machine: MachineDescription): readonly MachineDescription[] {
  let machines: MachineDescription[] = cpus(machine.cpu).map((cpu) => ({ ...machine, cpu }));
  machine.functions.forEach((fn, index) => {
    machines = machines.flatMap((one) =>
      meanings(fn).map((meaning) => ({ ...one, functions: one.functions.with(index, meaning) })),
    );
  });
  return machines;
}

function cpus(cpu: CpuDescription): readonly CpuDescription[] {
  const families = cpu.family === null ? [0x15, 0x19] : [cpu.family];
  const vendors = cpu.vendor === 'unknown' ? ['AMD', 'Intel'] : [cpu.vendor];
  return vendors.flatMap((vendor) => families.map((family) => ({ vendor, family })));
}

function meanings(fn: FunctionDescription): readonly FunctionDescription[] {
  const { acsControlIfAny: _any, acsListed: _listed, ...known } = fn;
  const ids = fn.device === null ? DEVICES.map((device) => ({ device })) : [{}];
  const control = fn.acsControlIfAny;
  const registers: readonly AcsKnowledge[] =
    control === undefined
      ? [
          { cap: 0x7f, ctrl: 0 },
          { cap: 0x7f, ctrl: 0x0c },
          { cap: 0x00, ctrl: 0 },
        ]
      : [
          { cap: 0x7f, ctrl: control },
          { cap: control, ctrl: control },
        ];
  const none: readonly AcsKnowledge[] = fn.acsListed === true || (control ?? 0) !== 0 ? [] : [null];
  const acs = fn.acs === 'unknown' ? [...registers, ...none] : [fn.acs];
  return ids.flatMap((id) => acs.map((one) => ({ ...known, ...id, acs: one })));
}

const NODES: readonly NodeName[] = ['RP0', 'U0', 'D0', 'D1', 'A0', 'RP1'];
const acs: fc.Arbitrary<AcsKnowledge> = fc.oneof(
  { weight: 3, arbitrary: fc.constant(null) },
  {
    weight: 2,
    arbitrary: fc.constantFrom({ cap: 0x7f, ctrl: 0 }, { cap: 0x7f, ctrl: 0x04 }, { cap: 0x01, ctrl: 0x01 }),
  },
  { weight: 2, arbitrary: fc.constant('unknown' as const) },
);

const unsure: fc.Arbitrary<MachineDescription> = fc
  .record({
    acs: fc.tuple(...NODES.map(() => acs)),
    more: fc.constantFrom({}, { acsListed: true }, { acsControlIfAny: 0 }, { acsControlIfAny: 0x0c }),
    roots: fc.tuple(fc.constantFrom(...DEVICES), fc.constantFrom(...DEVICES)),
    hidden: fc.subarray(['0000:00:00.0', '0000:80:00.0', NODE.RP0], { maxLength: 1 }),
    cpu: fc.constantFrom(
      { vendor: 'Intel', family: null },
      { vendor: 'AMD', family: null },
      { vendor: 'AMD', family: 0x19 },
      { vendor: 'unknown', family: null },
      { vendor: 'unknown', family: 0x06 },
    ),
  })
  .filter(({ acs: words }) => words.filter((word) => word === 'unknown').length <= 2)
  .map(({ acs: words, more, roots, hidden, cpu }) => {
    const named = Object.fromEntries(NODES.map((node, i) => [node, words[i]!]));
    const machine = twoRootMachine({ acs: named, roots, cpu });
    return {
      ...machine,
      functions: machine.functions.map((fn) => ({
        ...fn,
        ...(fn.acs === 'unknown' ? more : {}),
        ...(hidden.includes(fn.bdf) ? { vendor: INTEL, device: null } : {}),
      })),
    };
  });

const setups: fc.Arbitrary<P2pSetup> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ iommu: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record(
      {
        iommu: fc.boolean(),
        disableAcsRedir: fc.subarray<string>([NODE.D0, NODE.D1, NODE.RP0]),
        configAcs: fc.constantFrom('xx1xx@0000:02:00.0', '0000000@0000:02:01.0;x0x@pci:0:0'),
        whitelist: fc.constantFrom(HOST_BRIDGE_WHITELIST, []),
      },
      { requiredKeys: ['iommu'] },
    ),
  },
);

describe('for every machine of which something is not known', () => {
  test('the verdict is UNKNOWN exactly when what it may mean leads to several verdicts', () => {
    fc.assert(
      fc.property(
        unsure,
        setups,
        fc.constantFrom<NodeName>('A0', 'A0', 'B', 'C'),
        fc.constantFrom<NodeName>('A1', 'B', 'B', 'D'),
        (machine, setup, from, to) => {
          const pairOf = (one: MachineDescription) => {
            const topology = new Topology(one);
            return [topology, topology.function(NODE[from]), topology.function(NODE[to])] as const;
          };
          const verdicts = new Set(
            assignments(machine).map((one) => {
              const [topology, provider, client] = pairOf(one);
              const acsNow = acsStateOf(topology, setup);
              const { mapType } = calcMapTypeAndDistance(topology, provider, client, acsNow, setup.whitelist);
              return p2pMapTypeName(mapType);
            }),
          );
          const found = explainP2p(...pairOf(machine), setup);
          expect(found.type).toBe(verdicts.size === 1 ? [...verdicts][0] : 'UNKNOWN');
          expect(found.restsOn.length > 0).toBe(verdicts.size > 1);
        },
      ),
      { numRuns: propertyRuns(150) },
    );
  });
});

describe('for every machine of which all is known', () => {
  test('the explanation agrees with the walk, and every remedy works', () => {
    fc.assert(
      fc.property(randomMachine, fc.boolean(), (machine, iommu) => {
        const functions = machine.functions.map((fn) => (fn.acs === 'unknown' ? { ...fn, acs: null } : fn));
        const topology = new Topology({ ...machine, functions });
        const setup = { iommu };
        const some = topology.functions.slice(0, 10);
        for (const a of some) {
          for (const b of some) {
            const found = explainP2p(topology, a, b, setup);
            const walked = calcMapTypeAndDistance(topology, a, b, acsStateOf(topology, setup));
            expect(found).toMatchObject({ type: p2pMapTypeName(walked.mapType), distance: walked.distance });
            const ports = /^pci=disable_acs_redir=(\S+) gives (\S+)$/u.exec(found.remedies[0] ?? '');
            if (ports === null) continue;
            const cured = explainP2p(topology, a, b, { iommu, disableAcsRedir: ports[1]!.split(';') });
            expect(cured.type).toBe(ports[2]);
          }
        }
      }),
      { numRuns: propertyRuns(30) },
    );
  });
});
