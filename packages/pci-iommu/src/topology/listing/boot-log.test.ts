import { describe, expect, test } from 'vitest';
import { readMachine, Topology } from '../index.ts';

const LOG = `[    0.300649] PCI host bridge to bus 0000:00
[    0.300724] pci_bus 0000:00: root bus resource [io  0x0000-0x0cf7 window]
[    0.300724] pci_bus 0000:00: root bus resource [mem 0x90000000-0xdfffffff window]
[    0.300724] pci_bus 0000:00: root bus resource [mem 0x2000000000-0x20ffffffff window] (bus address [0x40000000-0x13fffffff])
[    0.300724] pci 0000:00:00.0: [8086:5918] type 00 class 0x060000 conventional PCI endpoint
[    0.300724] pci 0000:00:01.0: [8086:1901] type 01 class 0x060400 PCIe Root Port
[    0.300724] pci 0000:00:01.0: PCI bridge to [bus 01-02]
[    0.300724] pci 0000:00:01.0:   bridge window [io  0x2000-0x2fff]
[    0.300724] pci 0000:00:01.0:   bridge window [mem 0xdf000000-0xdf2fffff]
[    0.300724] pci 0000:00:01.0:   bridge window [mem 0x90000000-0x923fffff 64bit pref]
[    0.300724] pci 0000:01:00.0: [10de:2230] type 00 class 0x030000 PCIe Legacy Endpoint
[    0.300724] pci 0000:01:00.0: BAR 0 [mem 0x00000000-0x00ffffff]
[    0.300724] pci 0000:01:00.0: BAR 1 [mem 0x90000000-0x91ffffff 64bit pref]
[    0.300724] pci 0000:01:00.0: reg 0x24: [io  0x2000-0x207f]
[    0.300724] pci 0000:01:00.0: BAR 0 [mem 0xdf000000-0xdfffffff]: assigned
[    0.400724] smpboot: CPU0: AMD EPYC 7763 64-Core Processor (family: 0x19, model: 0x1, stepping: 0x1)
[    1.300724] pci 0000:00:01.0: Adding to iommu group 1
[    1.300724] pci 0000:01:00.0: Adding to iommu group 1
`;

describe('a boot log alone', () => {
  const reading = readMachine(LOG);
  const topology = new Topology(reading.description);

  test('functions, bridges, processor and groups', () => {
    expect(reading.source.format).toBe('boot-log');
    expect(topology.functions.map(({ bdf, vendor, device, kind }) => [bdf, vendor, device, kind])).toEqual([
      ['0000:00:00.0', 0x8086, 0x5918, 'host-bridge'],
      ['0000:00:01.0', 0x8086, 0x1901, 'root-port'],
      ['0000:01:00.0', 0x10de, 0x2230, 'legacy-endpoint'],
    ]);
    expect(reading.description.cpu).toEqual({ vendor: 'AMD', family: 0x19 });
    expect(reading.listedGroups).toEqual([{ id: 1, devices: ['0000:00:01.0', '0000:01:00.0'] }]);
  });

  test('windows of the host bridge, with what bus addresses differ by', () => {
    expect(topology.hostBridges[0]?.windows).toEqual([
      { start: 0x90000000, end: 0xdfffffff, busOffset: 0 },
      { start: 0x2000000000, end: 0x20ffffffff, busOffset: 0x40000000 - 0x2000000000 },
    ]);
  });

  test('BARs where they were assigned in the end, windows of bridges', () => {
    expect(topology.function('01:00.0').bars).toEqual([
      { index: 0, start: 0xdf000000, size: 2 ** 24, kind: 'mem32', prefetchable: false },
      { index: 1, start: 0x90000000, size: 2 ** 25, kind: 'mem64', prefetchable: true },
      { index: 5, start: 0x2000, size: 128, kind: 'io', prefetchable: false },
    ]);
    expect(topology.function('00:01.0').windows.map(({ kind }) => kind)).toEqual(['io', 'mem', 'prefetch']);
  });

  test('ACS is not told', () => {
    expect(reading.unknowns.filter(({ what }) => what === 'acs')).toHaveLength(3);
    expect(reading.unknowns.filter(({ what }) => what === 'windows' || what === 'bars')).toEqual([]);
  });
});

test('beside a listing it tells windows; functions that are not listed are left out with a warning', () => {
  const listing =
    '00:00.0 Host bridge [0600]: X [8086:5918]\n\tControl: I/O-\n\n00:01.0 PCI bridge: X\n\tControl: I/O-\n\n';
  const { description, warnings } = readMachine(listing + LOG);
  expect(description.functions.map((fn) => fn.bdf)).toEqual(['0000:00:00.0', '0000:00:01.0']);
  expect(description.hostBridges[0]?.windows).toHaveLength(2);
  expect(warnings).toEqual([{ line: 17, text: '0000:01:00.0: found by the kernel, but not listed; left out' }]);
});

test('messages alone name functions', () => {
  const { description } = readMachine(
    'amdgpu 0000:67:00.0: cannot be used for peer-to-peer DMA as the client and provider (0000:19:00.0) do not share\nhost bridge 0000:00:00.0 (8086:4c43): NOT whitelisted\n',
  );
  expect(description.functions.map(({ bdf, vendor, kind }) => [bdf, vendor, kind])).toEqual([
    ['0000:00:00.0', 0x8086, 'host-bridge'],
    ['0000:19:00.0', null, 'unknown-device'],
    ['0000:67:00.0', null, 'unknown-device'],
  ]);
  expect(description.hostBridges.map(({ bus, assumed }) => [bus, assumed])).toEqual([
    [0, undefined],
    [0x19, true],
    [0x67, true],
  ]);
});
