import { describe, expect, test } from 'vitest';
import { type CpuDescription, readMachine, Topology, type TopologyFunction } from '../topology/index.ts';
import { readRealDump, realDumps, realDumpsState } from '../topology/test-real-dumps.ts';
import { explainP2p, type P2pSetup, type P2pVerdict } from './index.ts';

const ON: P2pSetup = { iommu: true };
const OFF: P2pSetup = { iommu: false };

test(`real dumps ${realDumpsState}`, () => {
  expect(realDumps === null).toBe(realDumpsState !== 'present');
});

function load(name: string, cpu?: CpuDescription): Topology {
  return new Topology(readMachine(readRealDump(name), cpu === undefined ? {} : { cpu }).description);
}

/** All verdicts between pairs that pass a test. */
function verdicts(
  topology: Topology,
  setup: P2pSetup,
  wanted: (a: TopologyFunction, b: TopologyFunction) => boolean,
): ReadonlySet<P2pVerdict> {
  const { functions } = topology;
  const pairs = functions.flatMap((a) => functions.filter((b) => wanted(a, b)).map((b) => [a, b] as const));
  return new Set(pairs.map(([a, b]) => explainP2p(topology, a, b, setup).type));
}

const acrossRoots = (a: TopologyFunction, b: TopologyFunction): boolean => a.hostBridge !== b.hostBridge;

describe.skipIf(realDumps === null)('real machines, as their kernels decide', () => {
  test('Threadripper PRO: every pair across root complexes through the host bridges, with and without an IOMMU', () => {
    const topology = load('pci/amd-threadripperpro-wrx80-2xa6000.lspci-nnDvvvxxx.txt', { vendor: 'AMD', family: 0x19 });
    expect(verdicts(topology, ON, acrossRoots)).toEqual(new Set(['THRU_HOST_BRIDGE']));
    expect(verdicts(topology, OFF, acrossRoots)).toEqual(new Set(['THRU_HOST_BRIDGE']));
    const gpus = topology.functions.filter((fn) => fn.vendor === 0x10de && (fn.classCode ?? 0) >>> 16 === 3);
    expect(gpus).toHaveLength(2);
    expect(explainP2p(topology, gpus[0]!, gpus[1]!, ON)).toMatchObject({ type: 'THRU_HOST_BRIDGE', remedies: [] });
  });

  test('Arm Neoverse: no host bridge is on the list, the CPU is none that forwards', () => {
    const topology = load('pci/arm-neoverse-n1sdp-pex8749.lspci-vvvxxx.txt');
    expect(verdicts(topology, ON, acrossRoots)).toEqual(new Set(['NOT_SUPPORTED']));
  });

  test('Ice Lake-SP: RDMA NIC and RAID controller through two listed host bridges', () => {
    const topology = load('pci/intel-icelake-sp-2s-dell-connectx5.lspci-vvv.txt');
    const [nic, raid] = [topology.function('4b:00.0'), topology.function('65:00.0')];
    expect(explainP2p(topology, nic, raid, OFF)).toMatchObject({ type: 'THRU_HOST_BRIDGE', distance: 4 });
    expect(explainP2p(topology, nic, topology.function('4b:00.1'), OFF)).toMatchObject({
      type: 'BUS_ADDR',
      distance: 2,
    });
  });

  test('Genoa, whose GPUs and NICs were measured to exchange data: all through the host bridges', () => {
    const topology = load('pci/amd-genoa-2s-asus-esc8000a-rtx6000ada-cx7.lspci-tv.md', { vendor: 'AMD', family: 0x19 });
    const bdfs = ['01:00.0', '41:00.0', 'c1:00.0', 'e1:00.0', '21:00.0', '81:00.0'];
    const devices = new Set(bdfs.map((bdf) => topology.function(bdf)));
    const found = verdicts(topology, OFF, (a, b) => a !== b && devices.has(a) && devices.has(b));
    expect(found).toEqual(new Set(['THRU_HOST_BRIDGE']));
  });

  test('a listing without ACS registers: unknown where a port has them, known where none does', () => {
    const topology = load('pci/intel-lenovo-tb3-egpu-2x3090.lspci-v.txt');
    const found = explainP2p(topology, topology.function('09:00.0'), topology.function('2f:00.0'), ON);
    expect(found.type).toBe('UNKNOWN');
    expect(found.restsOn).toEqual(expect.arrayContaining(['ACS of 0000:05:01.0', 'ACS of 0000:05:04.0']));
    expect(found.remedies[0]).toMatch(/^pci=disable_acs_redir=.*0000:05:01\.0.* gives BUS_ADDR$/u);
    const below = explainP2p(topology, topology.function('0c:00.0'), topology.function('0d:00.0'), ON);
    expect(below).toMatchObject({ type: 'BUS_ADDR', restsOn: [] });
  });

  test('the hops, distances and words of recorded verdicts are those that the other tests here expect', () => {
    const arc = readRealDump('pci/p2p-verdict.arc-b70.plx-acs-on-off.txt');
    for (const text of ['0000:0d:01.0, 0000:0b:00.0, 0000:11:01.0, 0000:0b:10.0', '8086:4c43', 'hop-count: 8']) {
      expect(arc).toContain(text);
    }
    expect(arc.indexOf('MAP_NOT_SUPPORTED')).toBeLessThan(arc.indexOf('MAP_BUS_ADDR'));
    const icelake = readRealDump('pci/p2p-verdict.icelake-sp-amd-gpus.txt');
    expect(icelake).toContain('amdgpu 0000:67:00.0: cannot be used for peer-to-peer DMA');
    expect(icelake).toContain('provider (0000:19:00.0) do not share an upstream');
  });
});
