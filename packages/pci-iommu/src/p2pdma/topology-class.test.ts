import { describe, expect, test } from 'vitest';
import { builtinMachine, readMachine, Topology, type TopologyFunction } from '../topology/index.ts';
import { NODE, testBridge, testFunction, testMachine, twoRootMachine } from '../topology/test-machine.ts';
import { readRealDump, realDumps, realDumpsState } from '../topology/test-real-dumps.ts';
import { numaNodeOf, topologyClass } from './index.ts';

test(`real dumps ${realDumpsState}`, () => {
  expect(realDumps === null).toBe(realDumpsState !== 'present');
});

describe('how near two functions are', () => {
  const machine = twoRootMachine();
  const classOf = (a: string, b: string, nodes: Readonly<Record<string, number>> = {}): string => {
    const functions = machine.functions.map((fn) => {
      const node = nodes[fn.bdf];
      return node === undefined ? fn : { ...fn, numaNode: node };
    });
    const topology = new Topology({ ...machine, functions });
    return topologyClass(topology, topology.function(a), topology.function(b));
  };

  test.each([
    [NODE.A0, NODE.A0, 'X'],
    [NODE.A0, NODE.A1, 'PIX'],
    [NODE.A0, NODE.B, 'PIX'],
    [NODE.B, NODE.U0, 'PIX'],
    [NODE.A0, NODE.C, 'PHB'],
    [NODE.A0, NODE.D, 'unknown'],
  ])('%s and %s: %s', (a, b, expected) => {
    expect(classOf(a, b)).toBe(expected);
    expect(classOf(b, a)).toBe(expected);
  });

  test('across host bridges the NUMA nodes tell', () => {
    expect(classOf(NODE.A0, NODE.D, { [NODE.RP0]: 0, [NODE.D]: 0 })).toBe('NODE');
    expect(classOf(NODE.A0, NODE.D, { [NODE.RP0]: 0, [NODE.D]: 1 })).toBe('SYS');
    expect(classOf(NODE.A0, NODE.D, { [NODE.C]: 1, [NODE.RP2]: 1 })).toBe('NODE');
  });

  test('two switches in a row are several', () => {
    const topology = new Topology(
      testMachine([
        testBridge('0000:00:01.0', 'root-port', [1, 7]),
        testBridge('0000:01:00.0', 'upstream-port', [2, 7]),
        testBridge('0000:02:00.0', 'downstream-port', [3, 3]),
        testBridge('0000:02:01.0', 'downstream-port', [4, 7]),
        testBridge('0000:04:00.0', 'upstream-port', [5, 7]),
        testBridge('0000:05:00.0', 'downstream-port', [6, 6]),
        testFunction('0000:03:00.0', 'endpoint'),
        testFunction('0000:06:00.0', 'endpoint'),
      ]),
    );
    expect(topologyClass(topology, topology.function('03:00.0'), topology.function('06:00.0'))).toBe('PXB');
  });
});

/** Rows and columns of a machine with four GPUs and four network ports, as `nvidia-smi topo -m` printed them. */
const RECORDED = [
  'X NODE SYS SYS NODE NODE SYS SYS',
  'NODE X SYS SYS NODE NODE SYS SYS',
  'SYS SYS X NODE SYS SYS NODE NODE',
  'SYS SYS NODE X SYS SYS NODE NODE',
  'NODE NODE SYS SYS X PIX SYS SYS',
  'NODE NODE SYS SYS PIX X SYS SYS',
  'SYS SYS NODE NODE SYS SYS X PIX',
  'SYS SYS NODE NODE SYS SYS PIX X',
];

function matrix(topology: Topology, devices: readonly TopologyFunction[]): readonly string[] {
  return devices.map((a) => devices.map((b) => topologyClass(topology, a, b)).join(' '));
}

describe('the matrix of a real machine', () => {
  const NAMES = ['gpu0', 'gpu1', 'gpu2', 'gpu3', 'nic0', 'nic1', 'nic2', 'nic3'];

  test('its built-in description', () => {
    const topology = new Topology(builtinMachine('genoa-4gpu'));
    const devices = NAMES.flatMap((name) => topology.functions.filter(({ label }) => label === name));
    expect(matrix(topology, devices)).toEqual(RECORDED);
    expect(devices.map((fn) => numaNodeOf(topology, fn))).toEqual([0, 0, 1, 1, 0, 0, 1, 1]);
  });

  test.skipIf(realDumps === null)('its listing, whose own matrix is the one above', () => {
    const text = readRealDump('pci/amd-genoa-2s-asus-esc8000a-rtx6000ada-cx7.lspci-tv.md');
    const printed = [...text.matchAll(/^(?:GPU|NIC)\d((?: +(?:X|PIX|PXB|PHB|NODE|SYS)){8})/gmu)];
    expect(printed.map(([, row = '']) => row.trim().replaceAll(/ +/gu, ' '))).toEqual(RECORDED);
    const topology = new Topology(readMachine(text).description);
    const bdfs = ['01:00.0', '41:00.0', 'c1:00.0', 'e1:00.0', '21:00.0', '21:00.1', '81:00.0', '81:00.1'];
    const devices = bdfs.map((bdf) => topology.function(bdf));
    expect(matrix(topology, devices)).toEqual(RECORDED);
  });
});
