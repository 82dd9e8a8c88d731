import { Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { P2pMapType } from '../p2pdma/index.ts';
import { PciSystem } from './pci-system.ts';
import { BAR, NODE, smallTopology, testSystem } from './test-system.ts';

describe('P2pState', () => {
  test('answers only after init, and remembers through ACS changes until release', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const [a, b] = [pci.function(NODE.A0).topology, pci.function(NODE.B).topology];
    expect(pci.p2p.mapType(a, b)).toBe(P2pMapType.NOT_SUPPORTED);
    expect(pci.p2p.init(a)).toBeNull();
    expect(pci.p2p.init(a)).toBeNull();
    expect(pci.p2p.mapType(a, b)).toBe(P2pMapType.BUS_ADDR);
    pci.function(NODE.D1).config.acsControl = 0x04;
    expect(pci.p2p.mapType(a, b)).toBe(P2pMapType.BUS_ADDR);
    expect(pci.p2p.distanceMany(a, [b])).toBe(4);
    expect(pci.p2p.mapType(a, b)).toBe(P2pMapType.THRU_HOST_BRIDGE);
    pci.p2p.release(a);
    expect(pci.p2p.isInitialised(a)).toBe(false);
    expect(pci.p2p.mapType(a, b)).toBe(P2pMapType.NOT_SUPPORTED);
  });

  test('all threads give the answer that was given first', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    using other = Machine.join(machine.handle);
    const twin = PciSystem.of(other);
    pci.p2p.init(pci.function(NODE.A0).topology);
    expect(twin.p2p.isInitialised(twin.function(NODE.A0).topology)).toBe(true);
    expect(twin.p2p.mapType(twin.function(NODE.A0).topology, twin.function(NODE.B).topology)).toBe(P2pMapType.BUS_ADDR);
    twin.function(NODE.D1).config.acsControl = 0x04;
    expect(pci.p2p.mapType(pci.function(NODE.A0).topology, pci.function(NODE.B).topology)).toBe(P2pMapType.BUS_ADDR);
    expect(pci.p2p.mapType(pci.function(NODE.A0).topology, pci.function(NODE.C).topology)).toBe(
      P2pMapType.THRU_HOST_BRIDGE,
    );
    pci.p2p.release(pci.function(NODE.A0).topology);
  });

  test('a provider exists for memory BARs of initialised functions', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { busOffset: -0x1_0000_0000 });
    const a = pci.function(NODE.A0).topology;
    machine.diag.expect('warn', 'p2pdma-not-initialised');
    expect(pci.p2p.provider(a, 0)).toBeNull();
    expect(machine.diag.count('warn')).toBe(1);
    pci.p2p.init(a);
    expect(pci.p2p.provider(a, 0)).toMatchObject({ owner: a, busOffset: -0x1_0000_0000, bar: { start: BAR.A } });
    expect(pci.p2p.provider(a, 2)).toMatchObject({ busOffset: 0 });
    expect(pci.p2p.provider(a, 1)).toBeNull();
    pci.p2p.release(a);
  });

  test('BARs that the CPU cannot map are EOPNOTSUPP', () => {
    using machine = testMachine();
    const topology = smallTopology();
    const functions = topology.functions.map((fn) => (fn.bdf === NODE.A0 ? { ...fn, nonMappableBars: true } : fn));
    const pci = PciSystem.create(machine, { topology: { ...topology, functions } });
    const a = pci.function(NODE.A0).topology;
    expect(pci.p2p.init(a)).toBe('EOPNOTSUPP');
    expect(pci.p2p.provider(a, 0)).toBeNull();
  });

  test('distances: no clients, clients off the bus', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const a = pci.function(NODE.A0).topology;
    expect(pci.p2p.distanceMany(a, [])).toBe(-1);
    expect(pci.p2p.distanceMany(a, [null])).toBe(-1);
    expect(pci.p2p.distanceMany(a, [pci.function(NODE.C).topology, pci.function(NODE.D).topology])).toBe(12);
  });
});
