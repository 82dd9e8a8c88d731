import { describe, expect, test } from 'vitest';
import { describeLspci, Topology, type Unknown } from '../index.ts';

const LISTING = `00:00.0 Host bridge [0600]: Advanced Micro Devices, Inc. [AMD] Family 17h Root Complex [1022:1450]
	Control: I/O+ Mem+ BusMaster-
	Status: Cap-

00:01.1 PCI bridge [0604]: Advanced Micro Devices, Inc. [AMD] GPP Bridge [1022:1453]
	Control: I/O+ Mem+ BusMaster+
	Bus: primary=00, secondary=01, subordinate=01, sec-latency=0
	Memory behind bridge: f0000000-f0ffffff [size=16M]
	Capabilities: [58] Express (v2) Root Port (Slot+), MSI 00
		DevCap:	MaxPayload 512 bytes
		DevCtl:	CorrErr-
	Capabilities: [2a0 v1] Access Control Services
		ACSCap:	SrcValid+ TransBlk+ ReqRedir+ CmpltRedir+ UpstreamFwd+ EgressCtrl- DirectTrans+
		ACSCtl:	SrcValid+ TransBlk- ReqRedir+ CmpltRedir+ UpstreamFwd+ EgressCtrl- DirectTrans-

01:00.0 Ethernet controller [0200]: Example Corp NIC [abcd:0001]
	Control: I/O+ Mem+ BusMaster+
	Region 0: Memory at f0000000 (64-bit, prefetchable) [size=1M]
	Region 2: Memory at f0200000 (64-bit, prefetchable)
	Region 4: I/O ports at 2000 [size=32]
	Capabilities: [60] Express (v2) Endpoint, MSI 00
		DevCap:	MaxPayload 512 bytes
			ExtTag+ FLReset+
		DevCtl:	CorrErr-
	Capabilities: [180 v1] Single Root I/O Virtualization (SR-IOV)
		Initial VFs: 4, Total VFs: 4, Number of VFs: 1, Function Dependency Link: 00
		VF offset: 2, stride: 1, Device ID: 0002

01:00.2 Ethernet controller [0200]: Example Corp NIC VF [abcd:0002]
	Control: I/O- Mem- BusMaster-
	Region 0: Memory at f0300000 (64-bit, prefetchable) [virtual] [size=64K]
	Capabilities: [60] Express (v2) Endpoint, MSI 00
		DevCap:	MaxPayload 512 bytes
			FLReset+
		DevCtl:	CorrErr-

`;

/** `bdf what` of all unknowns; `-` for the machine. */
function whats(unknowns: readonly Unknown[]): readonly string[] {
  return unknowns.map(({ bdf, what }) => `${bdf ?? '-'} ${what}`);
}

describe('from lspci to a machine', () => {
  const { description, unknowns, warnings } = describeLspci(LISTING, { name: 'box' });

  test('host bridge, tree, kinds and ACS', () => {
    expect(description.functions.map((fn) => [fn.bdf, fn.kind])).toEqual([
      ['0000:00:00.0', 'host-bridge'],
      ['0000:00:01.1', 'root-port'],
      ['0000:01:00.0', 'endpoint'],
      ['0000:01:00.2', 'vf'],
    ]);
    expect(description.functions[1]).toMatchObject({ secondary: 1, subordinate: 1, acs: { cap: 0x5f, ctrl: 0x1d } });
    expect(description.functions[3]?.physfn).toBe('0000:01:00.0');
  });

  test('the processor family comes from the name of the root complex', () => {
    expect(description.cpu).toEqual({ vendor: 'AMD', family: 0x17 });
  });

  test('the host bridge window covers what is mapped', () => {
    expect(description.hostBridges).toEqual([
      { domain: 0, bus: 0, busEnd: 1, windows: [{ start: 0xf0000000, end: 0xf0ffffff, busOffset: 0 }] },
    ]);
  });

  test('a BAR without size has none, and that is told', () => {
    expect(description.functions[2]?.bars.map((bar) => [bar.index, bar.size, bar.flags])).toEqual([
      [0, 0x10_0000, undefined],
      [2, 0, ['size-unknown']],
      [4, 32, undefined],
    ]);
    expect(whats(unknowns)).toEqual(['- windows', '0000:01:00.0 bar-size']);
    expect(warnings).toEqual([]);
  });

  test('the result is a topology', () => {
    const topology = new Topology(description);
    expect(topology.pathToRoot(topology.function('01:00.2')).map(String)).toEqual(['0000:01:00.2', '0000:00:01.1']);
  });
});

describe('what a listing does not tell', () => {
  test('is marked and listed', () => {
    const { description, unknowns } = describeLspci('00:00.0 Host bridge: Nobody Thing\n', { name: 'x', title: 'y' });
    expect(description).toMatchObject({ title: 'y', cpu: { vendor: 'unknown', family: null } });
    expect(description.functions[0]).toMatchObject({ vendor: null, device: null, class: 0x060000, acs: 'unknown' });
    expect(whats(unknowns)).toEqual([
      '0000:00:00.0 flr',
      '0000:00:00.0 bars',
      '- windows',
      '- bus-offset',
      '- cpu',
      '0000:00:00.0 ids',
      '0000:00:00.0 pcie-type',
      '0000:00:00.0 acs',
    ]);
  });

  test('an excerpt without the bridges above hangs on a root bus of its own', () => {
    const { description, unknowns } = describeLspci('07:00.0 Ethernet controller: X\n', { name: 'x' });
    expect(description.hostBridges).toEqual([{ domain: 0, bus: 7, busEnd: 7, windows: [], assumed: true }]);
    expect(unknowns).toContainEqual({
      bdf: '0000:07:00.0',
      what: 'parent',
      text: 'no listed bridge leads to bus 0000:07, so it is taken as a root bus',
    });
  });

  test('a bus inside the range of a bridge is no root bus of its own', () => {
    const { description } = describeLspci(
      '00:01.0 PCI bridge: X\n\tBus: primary=00, secondary=01, subordinate=09, sec-latency=0\n\n07:00.0 Host bridge: X\n',
      { name: 'x' },
    );
    expect(new Topology(description).hostBridges.map(({ bus, assumed }) => [bus, assumed])).toEqual([
      [0, false],
      [7, true],
    ]);
  });

  test('BARs without numbers take registers in order and say so', () => {
    const { description } = describeLspci(
      '00:02.0 VGA compatible controller: X\n\tMemory at a0000000 (64-bit, prefetchable) [size=16M]\n\tI/O ports at 3000 [size=64]\n',
      { name: 'x' },
    );
    expect(description.functions[0]?.bars.map((bar) => [bar.index, bar.flags])).toEqual([
      [0, ['index-assumed']],
      [2, ['index-assumed']],
    ]);
  });

  test.each([
    [
      'overlaps',
      'Memory at f0000000 (32-bit, prefetchable) [size=1M]',
      /BAR 0 at 0xf0000000 left out: overlaps a BAR of/u,
    ],
    ['is misaligned', 'Memory at f0180000 (32-bit, prefetchable) [size=1M]', /BAR 0 left out: its address 0xf0180000/u],
    [
      'has an odd size',
      'Memory at e0000000 (32-bit, prefetchable) [size=3M]',
      /its size 0x300000 is no power of two from 16 up/u,
    ],
  ])('a BAR that %s is left out with a warning', (_what, bar, message) => {
    const { warnings } = describeLspci(
      `00:02.0 VGA compatible controller: X\n\tRegion 0: Memory at f0000000 (32-bit, prefetchable) [size=1M]\n\n00:03.0 Audio device: X\n\tRegion 0: ${bar}\n`,
      { name: 'x' },
    );
    expect(warnings.map((warning) => warning.text).join('\n')).toMatch(message);
  });

  test('unconfigured bridges keep no bus numbers', () => {
    const bridge = (bdf: string, secondary: string): string =>
      `${bdf} PCI bridge: X\n\tBus: primary=00, secondary=${secondary}, subordinate=${secondary}, sec-latency=0\n\n`;
    const { description, warnings } = describeLspci(
      bridge('00:01.0', '00') + bridge('00:02.0', '05') + bridge('00:03.0', '05'),
      { name: 'x' },
    );
    expect(description.functions.map((fn) => fn.secondary)).toEqual([undefined, 5, undefined]);
    expect(warnings).toEqual([
      { line: 1, text: '0000:00:01.0: bridge is not configured (secondary bus 0)' },
      { line: 7, text: '0000:00:03.0: bus numbers left out: bus 0000:05: 0000:00:02.0 leads to it too' },
    ]);
  });

  test('a host bridge that is a root port keeps its PCIe type', () => {
    const { description } = describeLspci(
      '00:00.0 Host bridge: X\n\tCapabilities: [90] Express (v2) Root Port (Slot-), MSI 00\n',
      { name: 'x' },
    );
    expect(description.functions[0]).toMatchObject({ kind: 'host-bridge', pcieType: 4 });
  });

  test('given windows and processor are taken', () => {
    const windows = [{ start: 0, end: 0xffff_ffff, busOffset: -0 }];
    const { description, unknowns } = describeLspci('00:00.0 Host bridge [0600]: X [1:2]\n\tStatus: Cap-\n', {
      name: 'x',
      cpu: { vendor: 'AMD', family: 0x19 },
      hostWindows: { '0000:00': windows },
    });
    expect(description.hostBridges[0]?.windows).toEqual(windows);
    expect(unknowns.filter(({ what }) => what === 'cpu' || what === 'windows')).toEqual([]);
  });
});

describe('bus numbers that cannot be', () => {
  const text = (first: string, second: string): string =>
    `00:01.0 PCI bridge: X\n\tBus: primary=00, secondary=${first}, subordinate=05, sec-latency=0\n\n01:00.0 PCI bridge: X\n\tBus: primary=01, ${second}, sec-latency=0\n`;

  test.each([
    [
      'lead back up',
      text('01', 'secondary=01, subordinate=02'),
      /^line 4: 0000:01:00.0: bus numbers 1..2: expected a/u,
    ],
    [
      'end before they start',
      text('01', 'secondary=04, subordinate=02'),
      /^line 4: .* 4..2: expected the last bus at/u,
    ],
    [
      'leave the range above',
      text('01', 'secondary=04, subordinate=07'),
      /^line 4: .* expected buses up to 5, as 0000:00/u,
    ],
  ])('when they %s, the line is told; lenient leaves them out', (_what, listing, message) => {
    expect(() => describeLspci(listing, { name: 'x' })).toThrow(message);
    const { description, warnings } = describeLspci(listing, { name: 'x', lenient: true });
    expect(description.functions.map((fn) => fn.secondary)).toEqual([1, undefined]);
    expect(warnings.map(({ line }) => line)).toEqual([4]);
  });

  test('more virtual functions than there can be', () => {
    const listing = `01:00.0 Ethernet controller: X\n\tCapabilities: [180 v1] Single Root I/O Virtualization (SR-IOV)\n\t\tTotal VFs: 4, Number of VFs: 5, Function\n`;
    expect(() => describeLspci(listing, { name: 'x' })).toThrow(/^line 1: .*at most 4 virtual functions, got 5/u);
    expect(describeLspci(listing, { name: 'x', lenient: true }).description.functions[0]?.sriov).toBeUndefined();
  });
});

describe('bus addresses', () => {
  const bar = (physical: string, register: string): string =>
    `0001:00:00.0 Host bridge: ARM Device 0100\n\tControl: I/O- Mem+ BusMaster+\n\tRegion 0: Memory at ${physical} (32-bit, non-prefetchable) [size=1M]\n00: b5 13 00 01 06 00 00 00 00 00 00 06 00 00 00 00\n10: 00 00 ${register} 00 00 00 00 00 00 00 00 00 00 00 00\n20: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00\n30: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00\n`;

  test('registers that differ from the physical addresses tell the offset of the window', () => {
    const { description, unknowns } = describeLspci(bar('50000000', '00 10'), { name: 'x' });
    expect(description.hostBridges[0]?.windows).toEqual([
      { start: 0x5000_0000, end: 0x500f_ffff, busOffset: 0x1000_0000 - 0x5000_0000 },
    ]);
    expect(whats(unknowns)).not.toContain('- bus-offset');
  });
});
