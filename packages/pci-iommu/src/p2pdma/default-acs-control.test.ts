import { describe, expect, test } from 'vitest';
import { type AcsKnowledge, Topology, type TopologyFunction } from '../topology/index.ts';
import { INTEL, NODE, testBridge, testMachine, twoRootMachine } from '../topology/test-machine.ts';
import { calcMapTypeAndDistance, defaultAcsControl, P2pMapType } from './index.ts';

function port(acs: AcsKnowledge, ids: { vendor?: number; device?: number } = {}): TopologyFunction {
  return new Topology(testMachine([testBridge('0000:00:01.0', 'root-port', [1, 1], { acs, ...ids })])).function(
    '00:01.0',
  );
}

describe('the ACS control word that the kernel leaves (drivers §2.6)', () => {
  test.each<[string, AcsKnowledge, Parameters<typeof defaultAcsControl>[1], number | null]>([
    ['no capability', null, { iommu: true }, null],
    ['not known', 'unknown', { iommu: true }, null],
    ['IOMMU off: as firmware left it', { cap: 0x5f, ctrl: 0x01 }, { iommu: false }, 0x01],
    ['IOMMU on: SV, RR, CR, UF', { cap: 0x7f, ctrl: 0 }, { iommu: true }, 0x1d],
    ['IOMMU on: only what the port can', { cap: 0x03, ctrl: 0 }, { iommu: true }, 0x01],
    ['IOMMU on: bits of the firmware stay', { cap: 0x7f, ctrl: 0x60 }, { iommu: true }, 0x7d],
    ['ATS disabled: TB too', { cap: 0x7f, ctrl: 0 }, { iommu: true, atsDisabled: true }, 0x1f],
    ['an untrusted port: TB too', { cap: 0x7f, ctrl: 0 }, { iommu: true, untrusted: ['00:01.0'] }, 0x1f],
    ['another untrusted port', { cap: 0x7f, ctrl: 0 }, { iommu: true, untrusted: ['00:02.0'] }, 0x1d],
    ['redirects disabled by name', { cap: 0x7f, ctrl: 0x20 }, { iommu: true, disableAcsRedir: ['0000:00:01.0'] }, 0x11],
    ['also without an IOMMU', { cap: 0x7f, ctrl: 0x2d }, { iommu: false, disableAcsRedir: ['00:01.0'] }, 0x01],
  ])('%s', (_what, acs, policy, expected) => {
    expect(defaultAcsControl(port(acs), policy)).toBe(expected);
  });

  test.each([
    [0x9d10, 0x00],
    [0xa11f, 0x00],
    [0xa120, 0x1d],
  ])('Intel PCH port %i with 32-bit registers keeps the standard word', (device, expected) => {
    expect(defaultAcsControl(port({ cap: 0x5f, ctrl: 0 }, { vendor: 0x8086, device }), { iommu: true })).toBe(expected);
  });

  test('IOMMU on turns traffic below a switch away from it, IOMMU off leaves it', () => {
    const acs = { cap: 0x5f, ctrl: 0 };
    const topology = new Topology(twoRootMachine({ acs: { D0: acs, D1: acs, RP0: acs }, cpu: INTEL }));
    const typeWith = (iommu: boolean): P2pMapType =>
      calcMapTypeAndDistance(topology, topology.function(NODE.A0), topology.function(NODE.B), {
        redirects: (fn) => ((defaultAcsControl(fn, { iommu }) ?? 0) & 0x2c) !== 0,
      }).mapType;
    expect(typeWith(true)).toBe(P2pMapType.NOT_SUPPORTED);
    expect(typeWith(false)).toBe(P2pMapType.BUS_ADDR);
  });
});
