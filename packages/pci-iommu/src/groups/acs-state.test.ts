import { describe, expect, test } from 'vitest';
import { type AcsKnowledge, Topology } from '../topology/index.ts';
import { INTEL, NODE, testBridge, testMachine, twoRootMachine } from '../topology/test-machine.ts';
import { calcMapTypeAndDistance, P2pMapType } from '../p2pdma/index.ts';
import { acsStateOf, type AcsSetup } from './index.ts';

function controlOf(acs: AcsKnowledge, setup: AcsSetup, ids: { vendor?: number; device?: number } = {}): number | null {
  const topology = new Topology(testMachine([testBridge('0000:00:01.0', 'root-port', [1, 1], { acs, ...ids })]));
  return acsStateOf(topology, setup).control(topology.function('00:01.0'))?.value ?? null;
}

describe('the ACS control word that the kernel leaves (drivers §2.6)', () => {
  test.each<[string, AcsKnowledge, AcsSetup, number | null]>([
    ['no capability', null, { iommu: true }, null],
    ['IOMMU off: as firmware left it', { cap: 0x5f, ctrl: 0x01 }, { iommu: false }, 0x01],
    ['IOMMU on: SV, RR, CR, UF', { cap: 0x7f, ctrl: 0 }, { iommu: true }, 0x1d],
    ['IOMMU on: only what the port can', { cap: 0x03, ctrl: 0 }, { iommu: true }, 0x01],
    ['IOMMU on: bits of the firmware stay', { cap: 0x7f, ctrl: 0x60 }, { iommu: true }, 0x7d],
    ['ATS disabled: TB too', { cap: 0x7f, ctrl: 0 }, { iommu: true, atsDisabled: true }, 0x1f],
    ['an untrusted port: TB too', { cap: 0x7f, ctrl: 0 }, { iommu: true, untrusted: ['00:01.0'] }, 0x1f],
    ['another untrusted port', { cap: 0x7f, ctrl: 0 }, { iommu: true, untrusted: ['00:02.0'] }, 0x1d],
    ['IOMMU off, nothing left by firmware', { cap: 0x7f, ctrl: 0x1d }, { iommu: false, firmware: 'off' }, 0x00],
    ['IOMMU on, nothing left by firmware', { cap: 0x7f, ctrl: 0x60 }, { iommu: true, firmware: 'off' }, 0x1d],
    ['redirects disabled by name', { cap: 0x7f, ctrl: 0x20 }, { iommu: true, disableAcsRedir: ['0000:00:01.0'] }, 0x11],
    ['also without an IOMMU', { cap: 0x7f, ctrl: 0x2d }, { iommu: false, disableAcsRedir: ['00:01.0'] }, 0x01],
  ])('%s', (_what, acs, setup, expected) => {
    expect(controlOf(acs, setup)).toBe(expected);
  });

  test('what is not known of a word, and what is', () => {
    const topology = new Topology(twoRootMachine({ acs: { D0: 'unknown', D1: null } }));
    const wordOf = (setup: AcsSetup, node: 'D0' | 'D1' = 'D0') => {
      const acs = acsStateOf(topology, setup);
      return {
        word: acs.control(topology.function(NODE[node])),
        redirects: acs.redirection(topology.function(NODE[node])),
      };
    };
    expect(wordOf({ iommu: true })).toEqual({ word: { value: 0, known: 0 }, redirects: 'unknown' });
    expect(wordOf({ iommu: true }, 'D1')).toEqual({ word: null, redirects: false });
    expect(wordOf({ iommu: true, disableAcsRedir: [NODE.D0] })).toMatchObject({ redirects: false });
    expect(wordOf({ iommu: true, configAcs: `xxx00xx@${NODE.D0}` })).toMatchObject({ redirects: 'unknown' });
    expect(wordOf({ iommu: true, configAcs: `x0x00xx@${NODE.D0}` })).toMatchObject({ redirects: false });
    expect(wordOf({ iommu: true, configAcs: `xxxx1xx@${NODE.D0}` })).toMatchObject({ redirects: 'unknown' });
    expect(wordOf({ iommu: false, overrides: { [NODE.D0]: 0x04 } })).toMatchObject({ redirects: true });
  });

  test('a control word without the capability word: what is on is on, what isolation switches on may be', () => {
    const machine = twoRootMachine({ acs: { D0: 'unknown' } });
    const wordOf = (control: number, setup: AcsSetup) => {
      const functions = machine.functions.map((fn) => (fn.bdf === NODE.D0 ? { ...fn, acsControlIfAny: control } : fn));
      const topology = new Topology({ ...machine, functions });
      return acsStateOf(topology, setup).control(topology.function(NODE.D0));
    };
    expect(wordOf(0x04, { iommu: false })).toEqual({ value: 0x04, known: 0x7f });
    expect(wordOf(0x04, { iommu: true })).toEqual({ value: 0x04, known: 0x66 });
    expect(wordOf(0, { iommu: false, configAcs: `xxxx1x0@${NODE.D0}` })).toEqual({ value: 0, known: 0x7b });
  });

  test('Intel ports with 32-bit registers: parameters do not reach the standard word', () => {
    const ids = { vendor: 0x8086, device: 0x9d10 };
    expect(controlOf({ cap: 0x5f, ctrl: 0x0c }, { iommu: true, disableAcsRedir: ['00:01.0'] }, ids)).toBe(0x0c);
    expect(controlOf({ cap: 0x5f, ctrl: 0x0c }, { iommu: true, disableAcsRedir: ['00:01.0'] })).toBe(0x11);
  });

  test.each([
    [0x9d10, 0x00],
    [0xa11f, 0x00],
    [0xa120, 0x1d],
  ])('Intel PCH port %i with 32-bit registers keeps the standard word', (device, expected) => {
    expect(controlOf({ cap: 0x5f, ctrl: 0 }, { iommu: true }, { vendor: 0x8086, device })).toBe(expected);
  });

  test('IOMMU on turns traffic below a switch away from it, IOMMU off leaves it', () => {
    const acs = { cap: 0x5f, ctrl: 0 };
    const topology = new Topology(twoRootMachine({ acs: { D0: acs, D1: acs, RP0: acs }, cpu: INTEL }));
    const typeWith = (iommu: boolean): P2pMapType =>
      calcMapTypeAndDistance(
        topology,
        topology.function(NODE.A0),
        topology.function(NODE.B),
        acsStateOf(topology, { iommu }),
      ).mapType;
    expect(typeWith(true)).toBe(P2pMapType.NOT_SUPPORTED);
    expect(typeWith(false)).toBe(P2pMapType.BUS_ADDR);
  });
});
