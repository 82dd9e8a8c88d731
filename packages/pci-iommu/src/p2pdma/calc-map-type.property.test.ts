import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AcsState, describedAcs, Topology, type TopologyFunction } from '../topology/index.ts';
import { randomMachine } from '../topology/test-random-machine.ts';
import { calcMapTypeAndDistance, P2pMapType } from './index.ts';

/** The same answer from paths as sets, without the kernel's loops. */
function model(topology: Topology, provider: TopologyFunction, client: TopologyFunction, acs: AcsState) {
  const up = topology.pathToRoot(provider);
  const down = topology.pathToRoot(client);
  const common = topology.commonBridge(provider, client);
  const distance = common === null ? up.length + down.length : up.indexOf(common) + down.indexOf(common);
  const amd = topology.description.cpu.vendor === 'AMD';
  const fallback = amd ? P2pMapType.THRU_HOST_BRIDGE : P2pMapType.NOT_SUPPORTED;
  if (common === null) return { mapType: fallback, distance };
  const crossed = [...up.slice(0, up.indexOf(common) + 1), ...down.slice(0, down.indexOf(common))];
  const redirected = crossed.some((fn) => acs.redirects(fn));
  return { mapType: redirected ? fallback : P2pMapType.BUS_ADDR, distance };
}

describe('for every machine and every pair', () => {
  test('the walk agrees with the model', () => {
    fc.assert(
      fc.property(randomMachine, (machine) => {
        const topology = new Topology(machine);
        const some = topology.functions.slice(0, 12);
        for (const a of some) {
          for (const b of some) {
            expect(calcMapTypeAndDistance(topology, a, b)).toEqual(model(topology, a, b, describedAcs));
          }
        }
      }),
    );
  });

  test('distance and verdict do not depend on the direction', () => {
    fc.assert(
      fc.property(randomMachine, (machine) => {
        const topology = new Topology(machine);
        const some = topology.functions.slice(0, 12);
        for (const a of some) {
          for (const b of some)
            expect(calcMapTypeAndDistance(topology, a, b)).toEqual(calcMapTypeAndDistance(topology, b, a));
        }
      }),
    );
  });
});
