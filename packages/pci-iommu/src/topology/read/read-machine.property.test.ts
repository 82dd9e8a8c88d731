import { propertyRuns } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { realDumpNames, readRealDump, realDumpsState } from '../test-real-dumps.ts';
import { builtinMachine, readMachine, stringifyMachine, Topology, TopologyError } from '../index.ts';

/** Own texts of every format, for when the listings of real machines are absent. */
const OWN: readonly string[] = [
  `00:00.0 Host bridge [0600]: Advanced Micro Devices, Inc. [AMD] Root Complex [1022:1450]
	Control: I/O+ Mem+ BusMaster+
	IOMMU group: 0

00:01.1 PCI bridge [0604]: Example Bridge [1022:1453] (rev 01) (prog-if 00 [Normal decode])
	Control: I/O+ Mem+ BusMaster+
	Bus: primary=00, secondary=01, subordinate=01, sec-latency=0
	Memory behind bridge: f0000000-f0ffffff [size=16M]
	Capabilities: [58] Express (v2) Root Port (Slot+), MSI 00
	Capabilities: [2a0 v1] Access Control Services
		ACSCap:	SrcValid+ TransBlk+ ReqRedir+ CmpltRedir+ UpstreamFwd+ EgressCtrl- DirectTrans+
		ACSCtl:	SrcValid+ TransBlk- ReqRedir+ CmpltRedir+ UpstreamFwd+ EgressCtrl- DirectTrans-
00: 22 10 53 14 07 04 10 00 00 00 04 06 10 00 81 00
10: 00 00 00 00 00 00 00 00 00 01 01 00 f1 01 00 00
20: 00 f0 f0 f0 f1 ff 01 00 00 00 00 00 00 00 00 00
30: 00 00 00 00 50 00 00 00 00 00 00 00 ff 01 12 00

01:00.0 Ethernet controller [0200]: Example Corp NIC [abcd:0001]
	Region 0: Memory at f0000000 (64-bit, prefetchable) [size=1M]
	Capabilities: [180 v1] Single Root I/O Virtualization (SR-IOV)
		Initial VFs: 4, Total VFs: 4, Number of VFs: 1, Function Dependency Link: 00
		VF offset: 2, stride: 1, Device ID: 0002
`,
  ` -+-[0000:60]-+-00.0  Example
  |           \\-01.1-[61-64]----00.0-[62-64]--+-00.0-[63]--
  \\-[0000:00]-+-01.1-[01]--+-00.0  Example [abcd:0001]
`,
  `IOMMU Group 40:
	08:01.0 PCI bridge [0604]: ASMedia Technology Inc. Device [1b21:118f]
Group 3:  [1022:14db] [R] 00:01.1  PCI bridge    Device 14db
`,
  `[    0.300724] pci_bus 0000:00: root bus resource [mem 0x90000000-0xdfffffff window]
[    0.300724] pci 0000:00:01.0: [8086:1901] type 01 class 0x060400 PCIe Root Port
[    0.300724] pci 0000:00:01.0: PCI bridge to [bus 01-02]
[    1.300724] pci 0000:00:01.0: Adding to iommu group 1
90000000-dfffffff : PCI Bus 0000:00
Vendor ID: AuthenticAMD
`,
];

const texts = [...OWN, ...realDumpNames(/\.(?:txt|md)$/u).map((name) => readRealDump(name))];
const pages = texts.map((text) => text.split('\n'));
const MAX_LINES = 300;

/** Up to {@link MAX_LINES} lines of one text. */
const excerpt = fc
  .record({ page: fc.nat(pages.length - 1), from: fc.nat(1_000_000), count: fc.nat(MAX_LINES) })
  .map(({ page, from, count }) => {
    const lines = pages[page] ?? [];
    const start = from % Math.max(1, lines.length);
    return lines.slice(start, start + count);
  });

const damage = fc.record({
  what: fc.constantFrom('cut', 'change', 'drop', 'double', 'join', 'digits'),
  line: fc.nat(MAX_LINES),
  at: fc.nat(120),
  by: fc.string({ maxLength: 2, unit: 'binary' }),
});

/** An excerpt with another one spliced in, and some lines damaged. */
const splicedText = fc
  .record({
    host: excerpt,
    guest: fc.option(excerpt, { nil: [] }),
    at: fc.nat(MAX_LINES),
    damages: fc.array(damage, { maxLength: 8 }),
    cutAt: fc.option(fc.nat(20_000), { nil: Number.MAX_SAFE_INTEGER }),
  })
  .map(({ host, guest, at, damages, cutAt }) => {
    const lines = [...host.slice(0, at), ...guest, ...host.slice(at)];
    for (const { what, line, at: column, by } of damages) {
      const index = lines.length === 0 ? 0 : line % lines.length;
      const text = lines[index] ?? '';
      if (what === 'cut') lines[index] = text.slice(0, column);
      else if (what === 'change') lines[index] = text.slice(0, column) + by + text.slice(column + 1);
      else if (what === 'drop') lines.splice(index, 1);
      else if (what === 'double') lines.splice(index, 0, text);
      else if (what === 'join') lines[index] = text + (lines[index + 1] ?? '');
      else lines[index] = text.replaceAll(/\d/gu, (digit) => String((Number(digit) + column) % 10));
    }
    return lines.join('\n').slice(0, cutAt);
  });

/** The error that the call throws, or `null`. */
function errorOf(call: () => unknown): unknown {
  try {
    call();
    return null;
  } catch (error) {
    return error;
  }
}

describe(`cut, spliced and damaged listings (real dumps ${realDumpsState})`, () => {
  test('are read, or refused with a line of the text', () => {
    fc.assert(
      fc.property(splicedText, (text) => {
        const error = errorOf(() => new Topology(readMachine(text).description));
        const lines = text.split('\n').length;
        expect(error === null || (error instanceof TopologyError && error.line >= 1 && error.line <= lines)).toBe(true);
      }),
      { numRuns: propertyRuns(150) },
    );
  });

  test('are always read when lenient, as long as they name a function, and every warning has a line of the text', () => {
    fc.assert(
      fc.property(splicedText, (text) => {
        const lines = text.split('\n').length;
        const error = errorOf(() => {
          const { description, warnings } = readMachine(text, { lenient: true });
          expect(new Topology(description).functions.length).toBeGreaterThan(0);
          expect(warnings.every(({ line }) => line === null || (line >= 1 && line <= lines))).toBe(true);
        });
        const isEmpty = error instanceof TopologyError && error.message.startsWith('line 1: expected output of lspci');
        expect(error === null || isEmpty, String(error)).toBe(true);
      }),
      { numRuns: propertyRuns(150) },
    );
  });

  test('what can be read is the same when lenient', () => {
    fc.assert(
      fc.property(splicedText, (text) => {
        const strict = errorOf(() => readMachine(text));
        fc.pre(strict === null);
        expect(readMachine(text, { lenient: true })).toEqual(readMachine(text));
      }),
      { numRuns: propertyRuns(40) },
    );
  });

  test('bytes of any kind are read or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), fc.boolean(), (bytes, lenient) => {
        const error = errorOf(() => readMachine(bytes, { lenient }));
        expect(error === null || error instanceof TopologyError).toBe(true);
      }),
      { numRuns: propertyRuns(300) },
    );
  });

  test('a damaged description in JSON is read or refused', () => {
    const json = stringifyMachine(builtinMachine('microtca-2switch'));
    fc.assert(
      fc.property(fc.nat(json.length), fc.string({ maxLength: 3 }), fc.nat(40), (at, by, dropped) => {
        const error = errorOf(() => readMachine(json.slice(0, at) + by + json.slice(at + dropped)));
        expect(error === null || error instanceof TopologyError).toBe(true);
      }),
      { numRuns: propertyRuns(100) },
    );
  });
});
