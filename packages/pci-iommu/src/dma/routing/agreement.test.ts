import { propertyRuns, propertyTimeoutMs } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AcsSetup } from '../../groups/index.ts';
import {
  builtinMachine,
  builtinMachines,
  completeMachine,
  readMachine,
  Topology,
  TopologyError,
} from '../../topology/index.ts';
import { readRealDumpBytes, realDumpNames, realDumps, realDumpsState } from '../../topology/test-real-dumps.ts';
import { randomServer } from '../../topology/test-random-server.ts';
import { expectAgreement, noAgreement } from './test-agreement.ts';

/** Every way in which a kernel may be told to set up ACS, with and without an IOMMU. */
function setups(topology: Topology): readonly AcsSetup[] {
  const ports = topology.functions.filter(({ isBridge }) => isBridge).map(({ bdf }) => bdf);
  return [true, false].flatMap((iommu) => [
    { iommu },
    { iommu, firmware: 'off' as const },
    { iommu, disableAcsRedir: ports },
  ]);
}

describe('the kernel’s verdict and the way of packets, two codes', () => {
  test('agree on 1,000 random servers', { timeout: propertyTimeoutMs(120_000) }, () => {
    const seen = noAgreement();
    fc.assert(
      fc.property(randomServer, fc.nat(5), (machine, pick) => {
        const topology = new Topology(machine);
        expectAgreement(topology, setups(topology)[pick]!, seen);
      }),
      { numRuns: propertyRuns(1000) },
    );
    expect(Math.min(seen.bus, seen.translated, seen.direct, seen.refused)).toBeGreaterThan(1000);
    expect(seen.unforwarded).toBeGreaterThan(10);
  });

  test.each(builtinMachines().map(({ name }) => name))('agree on %s', (name) => {
    const seen = noAgreement();
    const topology = new Topology(builtinMachine(name));
    for (const setup of setups(topology)) expectAgreement(topology, setup, seen);
    expect(seen.pairs).toBeGreaterThan(0);
  });
});

test(`real dumps ${realDumpsState}`, () => {
  expect(realDumps === null).toBe(realDumpsState !== 'present');
});

/** The topology of a dump; `null` when it is none of a machine. */
function topologyOf(name: string): Topology | null {
  try {
    const { description, unknowns } = readMachine(readRealDumpBytes(name), { name });
    return new Topology(completeMachine(description, unknowns).description);
  } catch (error) {
    if (error instanceof TopologyError) return null;
    throw error;
  }
}

test.skipIf(realDumps === null)(
  'the kernel’s verdict and the way of packets agree on every real machine, in every setup',
  { timeout: 120_000 },
  () => {
    const seen = noAgreement();
    let machines = 0;
    for (const name of realDumpNames(/\.(?:txt|md|xml|gz)$/u)) {
      const topology = topologyOf(name);
      if (topology === null) continue;
      machines++;
      for (const setup of setups(topology)) expectAgreement(topology, setup, seen);
    }
    expect(machines).toBeGreaterThan(20);
    expect(seen.pairs).toBeGreaterThan(100_000);
    // Not one of them redirects packets to a port that does not forward upwards.
    expect(seen.unforwarded).toBe(0);
  },
);
