import { testMachine as newMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import {
  ACS_CAP,
  builtinMachine,
  describeLspci,
  ExtCapId,
  iommuGroups,
  PciSystem,
  readMachine,
  stringifyLspci,
  Topology,
} from '../../index.ts';
import { testBar, testBridge, testFunction, testMachine } from '../test-machine.ts';
import { readRealDump, realDumps, realDumpsState } from '../test-real-dumps.ts';

const MACHINE = testMachine([
  testBridge('0000:00:01.0', 'root-port', [1, 1], {
    vendor: 0x1022,
    device: 0x1483,
    acs: { cap: 0x5f, ctrl: 0x1d },
    windows: [
      { kind: 'mem', start: 0xf000_0000, end: 0xf00f_ffff },
      { kind: 'prefetch', start: 0x100_0000_0000, end: 0x100_01ff_ffff },
    ],
    command: 0x407,
    numaNode: 1,
  }),
  testFunction('0000:01:00.0', 'endpoint', {
    vendor: 0x15b3,
    device: 0x1021,
    class: 0x020000,
    acs: 'unknown',
    flr: true,
    pm: true,
    bars: [testBar(0x100_0000_0000, 0x200_0000)],
    rom: { start: 0xf000_0000, size: 0x10_0000 },
    command: 0x006,
  }),
  testFunction('0000:01:00.1', 'unknown-device', {
    vendor: null,
    device: null,
    class: null,
    acs: 'unknown',
    command: 0,
  }),
]);

/** The lines of one device. */
function blockOf(text: string, bdf: string): string {
  return text.split('\n\n').find((block) => block.startsWith(bdf)) ?? '';
}

describe('text as lspci prints it', () => {
  const text = stringifyLspci(new Topology(MACHINE));

  test('a root port', () => {
    expect(blockOf(text, '0000:00:01.0').split('\n').slice(0, 22)).toEqual(
      `0000:00:01.0 PCI bridge [0604]: Advanced Micro Devices, Inc. [AMD] Starship/Matisse GPP Bridge [1022:1483] (rev 01) (prog-if 00 [Normal decode])
	Control: I/O+ Mem+ BusMaster+ SpecCycle- MemWINV- VGASnoop- ParErr- Stepping- SERR- FastB2B- DisINTx+
	Status: Cap+ 66MHz- UDF- FastB2B- ParErr- DEVSEL=fast >TAbort- <TAbort- <MAbort- >SERR- <PERR- INTx-
	Latency: 0
	Interrupt: pin A routed to IRQ 0
	NUMA node: 1
	Bus: primary=00, secondary=01, subordinate=01, sec-latency=0
	I/O behind bridge: [disabled]
	Memory behind bridge: f0000000-f00fffff [size=1M] [32-bit]
	Prefetchable memory behind bridge: 0000010000000000-0000010001ffffff [size=32M] [64-bit]
	Secondary status: 66MHz- FastB2B- ParErr- DEVSEL=fast >TAbort- <TAbort- <MAbort- <SERR- <PERR-
	BridgeCtl: Parity- SERR- NoISA- VGA- VGA16- MAbort- >Reset- FastB2B-
		PriDiscTmr- SecDiscTmr- DiscTmrStat- DiscTmrSERREn-
	Capabilities: [50] Express (v2) Root Port (Slot-), MSI 00
		DevCap:	MaxPayload 128 bytes, PhantFunc 0
			ExtTag- RBE+
		DevCtl:	CorrErr- NonFatalErr- FatalErr- UnsupReq-
			RlxdOrd- ExtTag- PhantFunc- AuxPwr- NoSnoop-
			MaxPayload 128 bytes, MaxReadReq 128 bytes
		DevSta:	CorrErr- NonFatalErr- FatalErr- UnsupReq- AuxPwr- TransPend-
	Capabilities: [100 v1] Advanced Error Reporting
		UESta:	DLP- SDES- TLP- FCP- CmpltTO- CmpltAbrt- UnxCmplt- RxOF- MalfTLP- ECRC- UnsupReq- ACSViol-`.split('\n'),
    );
    expect(blockOf(text, '0000:00:01.0').split('\n').slice(-3)).toEqual([
      '\tCapabilities: [148 v1] Access Control Services',
      '\t\tACSCap:\tSrcValid+ TransBlk+ ReqRedir+ CmpltRedir+ UpstreamFwd+ EgressCtrl- DirectTrans+',
      '\t\tACSCtl:\tSrcValid+ TransBlk- ReqRedir+ CmpltRedir+ UpstreamFwd+ EgressCtrl- DirectTrans-',
    ]);
  });

  test('a function of which more capabilities may be hidden', () => {
    const block = blockOf(text, '0000:01:00.0');
    expect(block).toContain('Ethernet controller [0200]: Mellanox Technologies MT2910 Family [ConnectX-7] [15b3:1021]');
    expect(block).toContain('\n\tRegion 0: Memory at 10000000000 (64-bit, prefetchable) [size=32M]\n');
    expect(block).toContain('\n\tExpansion ROM at f0000000 [disabled] [size=1M]\n');
    expect(block).toContain('ExtTag- AttnBtn- AttnInd- PwrInd- RBE+ FLReset+ SlotPowerLimit 0.000W\n');
    expect(block.endsWith('\n\tCapabilities: <access denied>')).toBe(true);
  });

  test('a function of which nothing is known', () => {
    const block = blockOf(text, '0000:01:00.1').split('\n');
    expect(block[0]).toBe('0000:01:00.1 Unknown class: Unknown device (rev 01)');
    expect(block.at(-1)).toBe('\tCapabilities: <access denied>');
  });

  test('bytes as far as they are known', () => {
    const dump = stringifyLspci(new Topology(MACHINE), { hex: true });
    const rows = (bdf: string): readonly string[] =>
      blockOf(dump, bdf)
        .split('\n')
        .filter((line) => /^[0-9a-f]+: /u.test(line) && !line.includes(bdf));
    expect(rows('0000:00:01.0')).toHaveLength(256);
    expect(rows('0000:00:01.0')[0]).toBe('00: 22 10 83 14 07 04 10 00 01 00 04 06 00 00 01 00');
    expect(rows('0000:00:01.0').at(-1)).toMatch(/^ff0: (?:00 ?){16}$/u);
    expect(rows('0000:01:00.0')).toHaveLength(16);
    expect(rows('0000:01:00.1')).toEqual([]);
  });

  test('IOMMU groups are listed when given, and read back', () => {
    const topology = new Topology(builtinMachine('wrx80-2gpu'));
    const groups = iommuGroups(topology, { iommu: true });
    const listed = readMachine(stringifyLspci(topology, { groups })).listedGroups;
    expect(listed).toEqual(
      groups
        .map(({ id, functions }) => ({ id, devices: functions.map((fn) => fn.bdf) }))
        .toSorted((a, b) => a.id - b.id),
    );
    expect(stringifyLspci(topology)).not.toContain('IOMMU group');
  });
});

describe('a running system', () => {
  test('shows the registers as they are', () => {
    using machine = newMachine();
    const pci = PciSystem.create(machine, { topology: MACHINE });
    const port = pci.function('00:01.0');
    expect(stringifyLspci(pci)).toContain('ACSCtl:\tSrcValid+ TransBlk- ReqRedir+');
    port.config.write(port.config.extCapabilityAt(ExtCapId.ACS) + ACS_CAP + 2, 2, 0);
    port.config.write(0x04, 2, 0x0002);
    const block = blockOf(stringifyLspci(pci), '0000:00:01.0');
    expect(block).toContain('ACSCtl:\tSrcValid- TransBlk- ReqRedir-');
    expect(block).toContain('Control: I/O- Mem+ BusMaster-');
    expect(block).not.toContain('Latency');
  });

  test('a function that is gone reads all ones', () => {
    using machine = newMachine();
    const pci = PciSystem.create(machine, { topology: MACHINE });
    pci.function('01:00.0').surpriseRemove();
    expect(blockOf(stringifyLspci(pci), '0000:01:00.0')).toMatch(
      /\[15b3:1021\] \(rev ff\) \(prog-if ff\)\n\t!!! Unknown header type 7f$/u,
    );
  });
});

test(`real dumps ${realDumpsState}`, () => {
  expect(realDumps === null).toBe(realDumpsState !== 'present');
});

/** Lines that lspci has printed alike for years. */
const STEADY =
  /^(?:Control:|Status: (?:Cap|D\d)|Latency|Bus:|Secondary status|BridgeCtl|Region|ACSCap|ACSCtl|DevCap:|DevSta|Vector table|PBA|Capabilities: \[..\] (?:Power|Express|MSI))/u;
const DUMP = 'pci/amd-threadripperpro-wrx80-2xa6000.lspci-nnDvvvxxx.txt';

describe.skipIf(realDumps === null)('beside a real listing', () => {
  test('lines are as lspci printed them', () => {
    const text = readRealDump(DUMP);
    const { description } = describeLspci(text, { name: 'dump' });
    const written = stringifyLspci(new Topology(description));
    const linesOf = (block: string): readonly string[] =>
      block.split('\n').map((line) => line.trim().replace(/\s+/gu, ' '));
    let compared = 0;
    for (const { bdf } of description.functions) {
      const real = new Set(linesOf(blockOf(text, bdf)));
      const steady = linesOf(blockOf(written, bdf)).filter((line) => STEADY.test(line));
      compared += steady.length;
      expect(steady.filter((line) => !real.has(line))).toEqual([]);
    }
    expect(compared).toBeGreaterThan(700);
  });
});
