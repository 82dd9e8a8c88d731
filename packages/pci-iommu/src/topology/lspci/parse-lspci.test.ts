import { describe, expect, test } from 'vitest';
import { TopologyError } from '../topology-error.ts';
import { parseLspci } from './parse-lspci.ts';
import type { RawFunction } from './raw-function.ts';

/** One device with everything that the parser reads; hand-written in the form that `lspci -nnDvvv` prints. */
const RICH = `0001:02:00.1 Ethernet controller [0200]: Example Corp Fast NIC [abcd:1234] (rev 0a) (prog-if 01)
	Subsystem: Example Corp Board [abcd:0001]
	Control: I/O- Mem+ BusMaster+ SpecCycle- DisINTx+
	NUMA node: 1
	IOMMU group: 42
	Region 0: Memory at 38000000000 (64-bit, prefetchable) [size=32M]
	Region 2: Memory at b0000000 (32-bit, non-prefetchable) [size=4K]
	Expansion ROM at b8100000 [disabled] [size=1M]
	Capabilities: [40] Power Management version 3
		Flags: PMEClk- DSI- D1- D2-
	Capabilities: [60] Express (v2) Endpoint, MSI 00
		DevCap:	MaxPayload 512 bytes, PhantFunc 0
			ExtTag+ FLReset+ SlotPowerLimit 75W
		DevCtl:	CorrErr+ NonFatalErr+
			RlxdOrd+ FLReset-
	Capabilities: [9c] MSI-X: Enable+ Count=64 Masked-
		Vector table: BAR=0 offset=00002000
		PBA: BAR=0 offset=00003000
	Capabilities: [150 v1] Alternative Routing-ID Interpretation (ARI)
	Capabilities: [180 v1] Single Root I/O Virtualization (SR-IOV)
		IOVCap:	Migration-
		Initial VFs: 16, Total VFs: 16, Number of VFs: 2, Function Dependency Link: 00
		VF offset: 2, stride: 1, Device ID: 101e
		Region 0: Memory at 38002000000 (64-bit, prefetchable)
	Capabilities: [230 v1] Access Control Services
		ACSCap:	SrcValid+ TransBlk- ReqRedir+ CmpltRedir+ UpstreamFwd- EgressCtrl- DirectTrans-
		ACSCtl:	SrcValid- TransBlk- ReqRedir+ CmpltRedir- UpstreamFwd- EgressCtrl- DirectTrans-
	Capabilities: [320 v1] Address Translation Service (ATS)
	Kernel driver in use: example_core
	Kernel modules: example_core
`;

function only(text: string): RawFunction {
  const { functions } = parseLspci(text);
  expect(functions).toHaveLength(1);
  const [first] = functions;
  if (first === undefined) throw new Error('unreachable');
  return first;
}

function hexOf(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)].map((byte) => byte.toString(16).padStart(2, '0'));
    lines.push(`${at.toString(16).padStart(2, '0')}: ${row.join(' ')}`);
  }
  return lines.join('\n');
}

describe('lspci in words', () => {
  test('everything that -nnDvvv tells of a device', () => {
    const fn = only(RICH);
    expect(fn).toMatchObject({
      bdf: '0001:02:00.1',
      line: 1,
      vendor: 0xabcd,
      device: 0x1234,
      class: 0x020001,
      className: 'Ethernet controller',
      deviceName: 'Example Corp Fast NIC',
      revision: 0x0a,
      command: 0x406,
      pcieType: 0,
      acs: { cap: 0x0d, ctrl: 0x04 },
      flr: true,
      pm: true,
      ats: true,
      sriov: { totalVfs: 16, numVfs: 2, vfOffset: 2, vfStride: 1, vfDevice: 0x101e },
      msix: { vectors: 64, tableBar: 0, tableOffset: 0x2000 },
      iommuGroup: 42,
      driver: 'example_core',
      numaNode: 1,
      rom: { address: 0xb8100000, size: 0x100000 },
      config: null,
    });
    expect(fn.bars.map((bar) => [bar.index, bar.address])).toEqual([
      [0, 0x38000000000],
      [2, 0xb0000000],
    ]);
    expect(fn.capabilities.map((capability) => capability.offset)).toEqual([
      0x40, 0x60, 0x9c, 0x150, 0x180, 0x230, 0x320,
    ]);
  });

  test.each([
    ['-n', '00:1c.0 0604: 8086:9d10 (rev f1)', 0x8086, 0x9d10, 0x060400],
    ['-nn', '00:1c.0 PCI bridge [0604]: Intel Corporation X [8086:9d10] (rev f1)', 0x8086, 0x9d10, 0x060400],
    ['names', '00:1c.0 PCI bridge: Intel Corporation Some Port (rev f1)', 0x8086, null, 0x060400],
    [
      'names of an unknown device',
      '00:1c.0 PCI bridge: Intel Corporation Device 9d10 (rev f1)',
      0x8086,
      0x9d10,
      0x060400,
    ],
    ['names of an unknown vendor', '00:1c.0 Weird thing: Nobody Inc. Widget', null, null, null],
  ])('ids with %s', (_form, text, vendor, device, classCode) => {
    expect(only(text)).toMatchObject({ bdf: '0000:00:1c.0', vendor, device, class: classCode });
  });

  test('a bridge', () => {
    const fn = only(`00:01.0 PCI bridge: X
	Control: I/O+ Mem+ BusMaster+
	Bus: primary=00, secondary=01, subordinate=13, sec-latency=0
	I/O behind bridge: [disabled] [16-bit]
	Memory behind bridge: df000000-df2fffff [size=3M] [32-bit]
	Prefetchable memory behind bridge: 90000000-923fffff [size=36M] [32-bit]
	Capabilities: [a0] Express (v2) Root Port (Slot+), MSI 00
		DevCap:	MaxPayload 256 bytes
		DevCtl:	CorrErr+

`);
    expect(fn.bus).toEqual({ primary: 0, secondary: 1, subordinate: 0x13 });
    expect(fn.windows).toHaveLength(2);
    expect(fn.pcieType).toBe(4);
    expect(fn.acs).toBeNull();
    expect(fn.flr).toBe(false);
  });

  test.each([
    ['Express (v2) Root Port (Slot+), MSI 00', 4],
    ['Express Upstream Port, IntMsgNum 0', 5],
    ['Express (v2) Downstream Port (Slot-), MSI 00', 6],
    ['Express (v2) Legacy Endpoint, MSI 00', 1],
    ['Express (v2) Root Complex Integrated Endpoint, MSI 00', 9],
    ['Express (v2) Root Complex Event Collector, MSI 00', 10],
    ['Express (v2) PCI-Express to PCI/PCI-X Bridge, MSI 00', 7],
    ['Express (v1) PCI/PCI-X to PCI-Express Bridge, MSI 00', 8],
    ['Express (v2) Something New, MSI 00', 'unknown'],
  ])('%s has type %s', (name, type) => {
    expect(only(`00:01.0 PCI bridge: X\n\tCapabilities: [a0] ${name}`).pcieType).toBe(type);
  });

  test('without capabilities in sight, ACS, type and FLR stay unknown', () => {
    const hidden = only('00:01.0 PCI bridge: X\n\tLatency: 0\n\tCapabilities: <access denied>\n');
    expect(hidden).toMatchObject({ acs: 'unknown', pcieType: 'unknown', flr: null, pm: null });
    const bare = only('00:01.0 PCI bridge: X\n');
    expect(bare).toMatchObject({ acs: 'unknown', pcieType: 'unknown', flr: null, pm: null });
  });

  test('a listed ACS capability without its registers stays unknown (lspci -v)', () => {
    const fn = only(`00:01.0 PCI bridge: X
	Flags: bus master, fast devsel, latency 0, IRQ 122, NUMA node 1, IOMMU group 2
	Capabilities: [40] Express Root Port (Slot+), IntMsgNum 0
	Capabilities: [140] Access Control Services
`);
    expect(fn).toMatchObject({ acs: 'unknown', iommuGroup: 2, numaNode: 1, pcieType: 4, flr: null });
  });

  test('a function without capabilities has no ACS and is not PCIe', () => {
    const fn = only('00:14.0 SMBus: X\n\tControl: I/O+ Mem+ BusMaster-\n\tStatus: Cap-\n\n');
    expect(fn).toMatchObject({ acs: null, pcieType: null, flr: false, pm: false, command: 0x3 });
  });

  test('advanced features bring function level reset to functions that are not PCIe', () => {
    const fn = only(`00:1d.0 USB controller: X
	Flags: medium devsel, IRQ 23
	Capabilities: [98] PCI Advanced Features
		AFCap: TP+ FLR+
		AFCtrl: FLR-
		AFStatus: TP-

`);
    expect(fn).toMatchObject({ flr: true, pcieType: null });
  });

  test('a listing that is cut, or of which a filter left some lines, does not prove that a capability is absent', () => {
    const whole =
      '00:14.0 SMBus: X\n\tControl: I/O+ Mem+ BusMaster-\n\tCapabilities: [40] Power Management version 3\n';
    expect(only(`${whole}\n`)).toMatchObject({ acs: null, pcieType: null });
    expect(only(whole)).toMatchObject({ acs: 'unknown', pcieType: 'unknown', pm: true, ats: null });
    const filtered = '00:14.0 SMBus: X\n\tCapabilities: [40] Power Management version 3\n\n';
    expect(only(filtered)).toMatchObject({ acs: 'unknown', pcieType: 'unknown' });
  });

  test('ACS lines that a filter left', () => {
    const words = 'SrcValid+ TransBlk- ReqRedir+ CmpltRedir- UpstreamFwd- EgressCtrl- DirectTrans-';
    expect(only(`00:01.0 PCI bridge: X\n\t\tACSCap: ${words}\n\t\tACSCtl: ${words}\n`).acs).toEqual({
      cap: 5,
      ctrl: 5,
    });
    expect(only(`00:01.0 PCI bridge: X\n\t\tACSCtl: ${words}\n`)).toMatchObject({
      acs: 'unknown',
      acsControlIfAny: 5,
    });
  });

  test('lines that a filter left belong to the device that the command selects', () => {
    const { functions } = parseLspci(
      '# lspci -vvv -s 01:00.0 | grep VF\n\tInitial VFs: 8, Total VFs: 8, Number of VFs: 0, X\n\tCapabilities: [180 v1] Single Root I/O Virtualization (SR-IOV)\n\t\tInitial VFs: 8, Total VFs: 8, Number of VFs: 2, X\n',
    );
    expect(functions.map(({ bdf, line, sriov }) => [bdf, line, sriov?.numVfs])).toEqual([['0000:01:00.0', 1, 2]]);
  });

  test('of two listings of a function the one that tells more is kept', () => {
    const { functions, warnings } = parseLspci(`00:01.0 PCI bridge: X
	Flags: bus master, NUMA node 1
	Capabilities: <access denied>

00:01.0 PCI bridge: X
	Control: I/O+ Mem+ BusMaster+
	Capabilities: [40] Express (v2) Root Port (Slot+), MSI 00

`);
    expect(functions).toMatchObject([{ line: 1, numaNode: 1, pcieType: 4, acs: null }]);
    expect(warnings).toEqual([{ line: 5, text: '0000:00:01.0: listed again; what this one tells more is taken' }]);
  });

  test('unknown lines are left alone, a second listing of a function is left out with a warning', () => {
    const { functions, warnings } = parseLspci(`Hello,
here is my lspci:

00:01.0 PCI bridge: X
	Frobnication: enabled
	NUMA node: 0

00:01.0 PCI bridge: X
	NUMA node: 1
`);
    expect(functions.map((fn) => fn.numaNode)).toEqual([0]);
    expect(warnings).toEqual([{ line: 8, text: '0000:00:01.0: listed again; the first listing is kept' }]);
  });

  test('a listing that a mailer wrapped', () => {
    const fn = only(`00:01.0 PCI bridge: Intel Corporation Xeon PCI 
Express Root Port 1 (rev 02) (prog-if 00 [Normal decode])
         Memory behind bridge: fce00000-fcefffff 
[size=1M] [32-bit]
         Prefetchable memory behind bridge: 
00000000e0000000-00000000f01fffff
         Capabilities: [110 v1] Access Control Services
                 ACSCap: SrcValid+ TransBlk+ ReqRedir+ CmpltRedir+ 
UpstreamFwd+ EgressCtrl- DirectTrans-
                 ACSCtl: SrcValid+ TransBlk- ReqRedir+ CmpltRedir+ 
UpstreamFwd+ EgressCtrl- DirectTrans-
`);
    expect(fn.revision).toBe(2);
    expect(fn.windows.map((window) => window.end)).toEqual([0xfcefffff, 0xf01fffff]);
    expect(fn.acs).toEqual({ cap: 0x1f, ctrl: 0x1d });
  });
});

describe('lspci in bytes', () => {
  const bytes = new Uint8Array(64);
  bytes.set([0x86, 0x80, 0x10, 0x9d, 0x06, 0x04, 0x10, 0x00, 0xf1, 0x00, 0x04, 0x06]);

  test('bytes give ids where the words have none', () => {
    const fn = only(`00:1c.0 PCI bridge: Nobody Widget\n${hexOf(bytes)}\n`);
    expect(fn).toMatchObject({ vendor: 0x8086, device: 0x9d10, class: 0x060400, revision: 0xf1, command: 0x406 });
    expect(fn.config).toEqual(bytes);
  });

  test('bytes win over words, and every difference is told', () => {
    const text = `00:1c.0 VGA compatible controller [0300]: Nobody Widget [10de:0001]\n${hexOf(bytes)}\n`;
    expect(only(text)).toMatchObject({ vendor: 0x8086, device: 0x9d10, class: 0x060400 });
    expect(parseLspci(text).warnings).toEqual([
      { line: 1, text: '0000:00:1c.0: vendor is 0x10de in words, 0x8086 in bytes; the bytes are taken' },
      { line: 1, text: '0000:00:1c.0: device is 0x1 in words, 0x9d10 in bytes; the bytes are taken' },
      { line: 1, text: '0000:00:1c.0: class is 0x300 in words, 0x604 in bytes; the bytes are taken' },
    ]);
  });

  test('bytes of a device that did not answer are left out', () => {
    const text = `00:1c.0 PCI bridge: Nobody Widget\n${hexOf(new Uint8Array(64).fill(0xff))}\n`;
    expect(only(text)).toMatchObject({ vendor: null, class: 0x060400, config: null });
    expect(parseLspci(text).warnings).toEqual([
      { line: 1, text: '0000:00:1c.0: config space reads all ones, the bytes are left out' },
    ]);
  });

  test('a dump that follows later is joined to the words', () => {
    const fn = only(`00:1c.0 PCI bridge: X\n\tNUMA node: 3\n\nlspci -x\n00:1c.0 PCI bridge: X\n${hexOf(bytes)}\n`);
    expect(fn).toMatchObject({ numaNode: 3, device: 0x9d10 });
  });

  test('words that follow a dump are joined to it', () => {
    const fn = only(`00:1c.0 PCI bridge: X\n${hexOf(bytes)}\n\n00:1c.0 PCI bridge: X\n\tNUMA node: 3\n`);
    expect(fn).toMatchObject({ numaNode: 3, device: 0x9d10 });
  });
});

describe('what cannot be read', () => {
  const header = '00:1c.0 PCI bridge: X\n';
  const zeros = ' 00'.repeat(16);
  test.each([
    ['no device at all', 'just prose\n', 1, /expected output of lspci/u],
    ['an impossible function', '00:20.0 PCI bridge: X\n', 1, /device at most 1f, function at most 7/u],
    ['an impossible function number', '00:00.9 PCI bridge: X\n', 1, /function at most 7/u],
    ['a header without class', '00:00.0 Nonsense\n', 1, /expected "class: vendor device"/u],
    ['prose that names a device', '00:00.0 is the card\n', 1, /expected output of lspci/u],
    ['a dump without device', `00:${zeros}\n`, 1, /expected a device line before the hex dump/u],
    ['a short line of bytes', `${header}00: 00 01\n`, 2, /expected "OFFSET:" and 16 hex bytes/u],
    ['a byte that is none', `${header}00:${' 0x'.repeat(16)}\n`, 2, /expected "OFFSET:" and 16 hex bytes/u],
    ['a gap', `${header}00:${zeros}\n20:${zeros}\n`, 3, /expected config offset 10, got 20/u],
    ['too few bytes', `${header}00:${zeros}\n`, 2, /expected 64, 256, 4096 bytes of config space/u],
    [
      'a capability without offset',
      `${header}\tCapabilities: Express\n`,
      2,
      /expected "Capabilities: \[OFFSET\] NAME"/u,
    ],
    [
      'ACS flags that stop',
      `${header}\tCapabilities: [100 v1] Access Control Services\n\t\tACSCap: SrcValid+ TransBlk+\n`,
      3,
      /expected ReqRedir\+ or ReqRedir- among the ACS flags/u,
    ],
    ['bus numbers that stop', `${header}\tBus: primary=00\n`, 2, /expected "Bus: primary=XX/u],
  ])('%s', (_what, text, line, message) => {
    let error: unknown;
    try {
      parseLspci(text);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(TopologyError);
    expect(error).toMatchObject({ line, message: expect.stringMatching(message) as string });
  });
});
