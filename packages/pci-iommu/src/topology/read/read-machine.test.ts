import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { builtinMachine, readMachine, readMachineFile, stringifyMachine, Topology, TopologyError } from '../index.ts';

describe('one entry for what people have', () => {
  test('a machine description in JSON', () => {
    const machine = builtinMachine('wrx80-2gpu');
    const reading = readMachine(stringifyMachine(machine));
    expect(reading.source).toEqual({ name: 'machine', format: 'machine' });
    expect(reading.description).toEqual(machine);
  });

  test('output of lspci, with the groups it lists and what it does not tell', () => {
    const reading = readMachine(
      '00:00.0 Host bridge [0600]: Intel Corporation X [8086:1234]\n\tFlags: fast devsel\n\tIOMMU group: 3\n\n00:02.0 VGA compatible controller: X\n',
      { name: 'box' },
    );
    expect(reading.source).toEqual({ name: 'box', format: 'lspci' });
    expect(reading.listedGroups).toEqual([{ id: 3, devices: ['0000:00:00.0'] }]);
    expect(reading.unknowns.map(({ bdf, what }) => `${bdf ?? '-'} ${what}`)).toEqual([
      '0000:00:02.0 flr',
      '0000:00:02.0 bars',
      '- windows',
      '0000:00:02.0 ids',
      '0000:00:02.0 pcie-type',
      '0000:00:02.0 acs',
    ]);
  });

  test('bytes, and a drawing alone', () => {
    const reading = readMachine(new TextEncoder().encode('-[0000:00]-+-00.0\n           \\-01.0-[01]----00.0\n'));
    expect(reading.source.format).toBe('lspci-tree');
    expect(reading.description.functions.map((fn) => fn.bdf)).toEqual(['0000:00:00.0', '0000:00:01.0', '0000:01:00.0']);
  });

  test.each([['{"a": 1,\n}'], ['prose']])('%j is refused', (text) => {
    expect(() => readMachine(text)).toThrow(TopologyError);
  });
});

const BLOCK = `00:00.0 Host bridge [0600]: Intel Corporation X [8086:1234]
	Control: I/O- Mem+ BusMaster+
	IOMMU group: 0

00:01.0 PCI bridge [0604]: Intel Corporation X [8086:1901] (prog-if 00 [Normal decode])
	Control: I/O+ Mem+ BusMaster+
	IOMMU group: 1
	Bus: primary=00, secondary=01, subordinate=01, sec-latency=0
	Memory behind bridge: df000000-df2fffff [size=3M] [32-bit]
	Capabilities: [a0] Express (v2) Root Port (Slot+), MSI 00
		DevCap:	MaxPayload 256 bytes
		DevCtl:	CorrErr+
	Capabilities: [140 v1] Access Control Services
		ACSCap:	SrcValid+ TransBlk+ ReqRedir+ CmpltRedir+ UpstreamFwd+ EgressCtrl- DirectTrans-
		ACSCtl:	SrcValid+ TransBlk- ReqRedir+ CmpltRedir+ UpstreamFwd+ EgressCtrl- DirectTrans-

01:00.0 Non-Volatile memory controller [0108]: Samsung X [144d:a80a] (prog-if 02 [NVM Express])
	Control: I/O- Mem+ BusMaster+
	IOMMU group: 2
	Region 0: Memory at df000000 (64-bit, non-prefetchable) [size=16K]
	Capabilities: [70] Express (v2) Endpoint, MSI 00
		DevCap:	MaxPayload 256 bytes
			ExtTag+ FLReset+
		DevCtl:	CorrErr+

`;

describe('files', () => {
  test('take their own name for the machine', () => {
    const folder = mkdtempSync(join(tmpdir(), 'read-machine-'));
    writeFileSync(join(folder, 'lab-7.lspci.txt'), BLOCK);
    expect(readMachineFile(join(folder, 'lab-7.lspci.txt')).description.name).toBe('lab-7');
    expect(readMachineFile(join(folder, 'lab-7.lspci.txt'), { name: 'box' }).description.name).toBe('box');
    expect(() => readMachineFile(join(folder, 'nothing'))).toThrow(/^no such file: /u);
    rmSync(folder, { recursive: true });
  });

  test('that are no listings by their size are refused', () => {
    expect(() => readMachine(new Uint8Array(256 * 2 ** 20 + 1))).toThrow(/^expected at most 256 MiB, got 257 MiB$/u);
  });
});

describe('the ways in which people paste a listing', () => {
  const plain = readMachine(BLOCK, { name: 'x' });
  const lines = BLOCK.split('\n');

  test.each([
    ['quoted in a mail', lines.map((line) => `> ${line}`).join('\n')],
    ['quoted twice, without blanks', lines.map((line) => `>>${line}`).join('\n')],
    ['with the line ends of Windows', lines.join('\r\n')],
    ['with blanks for tabs', BLOCK.replaceAll('\t', '        ')],
    ['with one blank for a tab', BLOCK.replaceAll('\t', ' ')],
    ['with blanks that do not break', BLOCK.replaceAll('\t', '\u00a0\u00a0')],
    ['without any blanks before lines', lines.map((line) => line.trimStart()).join('\n')],
    ['moved to the right', lines.map((line) => (line === '' ? '' : `    ${line}`)).join('\n')],
    ['in a fence, with headings', `# My box\n\n## lspci\n\`\`\`\n$ sudo lspci -nnvvv\n${BLOCK}\`\`\`\nThanks!\n`],
    ['with domains', BLOCK.replaceAll(/^(?=\d\d:)/gmu, '0000:')],
    ['twice', `${BLOCK}\nafter the change:\n${BLOCK}`],
    ['after the short listing', `$ lspci\n00:00.0 Host bridge: X\n00:01.0 PCI bridge: X\n01:00.0 NVMe: X\n\n${BLOCK}`],
    ['before the drawing', `${BLOCK}-[0000:00]-+-00.0  X\n           \\-01.0-[01]----00.0  Samsung X\n`],
    [
      'after an unprivileged one',
      `${BLOCK.replaceAll(/\tCap[^]*?\n\n/gu, '\tCapabilities: <access denied>\n\n')}\n${BLOCK}`,
    ],
  ])('%s', (_way, text) => {
    const reading = readMachine(text, { name: 'x' });
    expect(reading.description).toEqual(plain.description);
    expect(reading.unknowns).toEqual(plain.unknowns);
    expect(reading.listedGroups).toEqual(plain.listedGroups);
  });

  test('in UTF-16, as shells on Windows write files', () => {
    const bytes = Buffer.from(`\ufeff${BLOCK}`, 'utf16le');
    expect(readMachine(bytes, { name: 'x' }).description).toEqual(plain.description);
  });

  test('the other forms tell less, and say so', () => {
    const whats = (text: string): readonly string[] => [...new Set(readMachine(text).unknowns.map(({ what }) => what))];
    expect(plain.unknowns.map(({ what }) => what)).toEqual(['windows']);
    expect(whats('00:00.0 0600: 8086:1234\n00:01.0 0604: 8086:1901 (rev 01)\n')).toEqual([
      'flr',
      'bars',
      'bus-numbers',
      'windows',
      'pcie-type',
      'acs',
    ]);
    expect(whats('00:00.0 Host bridge: Nobody\n')).toContain('ids');
    expect(whats('-[0000:00]---00.0\n')).toContain('class');
  });

  test('ids and classes by name, which say that they are', () => {
    const { description, unknowns } = readMachine(
      '00:00.0 Host bridge: Advanced Micro Devices, Inc. [AMD] Renoir/Cezanne Root Complex\n',
    );
    expect(description.functions[0]).toMatchObject({ vendor: 0x1022, device: 0x1630, class: 0x060000 });
    expect(unknowns.find(({ what }) => what === 'ids')?.text).toMatch(/^device id 1630 is taken from the name/u);
    expect(unknowns.find(({ what }) => what === 'cpu')?.text).toMatch(/AMD is 0x17 or 0x19 by the root complex/u);
  });

  test('host bridge windows, sizes and the processor from what else is pasted', () => {
    const { description } = readMachine(
      `01:00.0 NVMe [0108]: X [144d:a80a]\n00: 4d 14 0a a8 06 00 10 00 00 02 08 01 00 00 00 00\n10: 04 00 00 df 00 00 00 00 00 00 00 00 00 00 00 00\n20: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00\n30: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00\n\ncat /proc/iomem\nc0000000-dfffffff : PCI Bus 0000:01\n  df000000-df003fff : 0000:01:00.0\n    df000000-df003fff : nvme\n\nVendor ID:   AuthenticAMD\n  CPU family:  25\n`,
    );
    expect(description.cpu).toEqual({ vendor: 'AMD', family: 0x19 });
    expect(description.functions[0]?.bars).toEqual([
      { index: 0, start: 0xdf000000, size: 0x4000, kind: 'mem64', prefetchable: false },
    ]);
    expect(description.hostBridges[0]?.windows).toEqual([{ start: 0xc0000000, end: 0xdfffffff, busOffset: 0 }]);
  });

  test('without privileges /proc/iomem shows no addresses', () => {
    const { warnings } = readMachine(`${BLOCK}00000000-00000000 : PCI Bus 0000:00\n`);
    expect(warnings).toEqual([{ line: 26, text: '/proc/iomem shows no addresses; read as root it does' }]);
  });

  test('ACSCtl lines of all ports without their names', () => {
    const words = 'ReqRedir- CmpltRedir- UpstreamFwd- EgressCtrl- DirectTrans-';
    const line = (first: string): string => `\t\tACSCtl: ${first} TransBlk- ${words}\n`;
    const drawing = '-[0000:00]---01.0-[01]----00.0\n\n$ lspci -vvv | grep ACSCtl\n';
    const same = readMachine(drawing + line('SrcValid-') + line('SrcValid-'));
    expect(same.description.functions.map(({ acsControlIfAny }) => acsControlIfAny)).toEqual([0, 0]);
    expect(same.warnings.map(({ line: at }) => at)).toEqual([4]);
    const different = readMachine(drawing + line('SrcValid-') + line('SrcValid+'));
    expect(different.description.functions.map(({ acsControlIfAny }) => acsControlIfAny)).toEqual([
      undefined,
      undefined,
    ]);
    expect(different.warnings[0]?.text).toMatch(/they differ, so it is not known whose they are/u);
  });
});

describe('bad input', () => {
  const short = BLOCK.replace('subordinate=01', 'subordinate=');
  const cut = `${BLOCK}02:00.0 Ethernet contr`;
  test.each([
    ['a damaged line', short, /^line 8: expected "Bus: primary=XX/u, [0, 1, 2]],
    ['a line that is cut', cut, /^line 26: expected "class: vendor device"/u, [0, 1, 2]],
    ['a byte that is none', `${BLOCK}00: 86 80 zz`, /^line 26: expected "OFFSET:" and 16 hex bytes/u, [0, 1, 2]],
    ['a dump without its device', `00: 86 80\n${BLOCK}`, /^line 1: expected a device line before/u, [0, 1, 2]],
    ['a NUL byte', `${BLOCK}a\0b`, /^line 26: expected text, found a NUL byte/u, [0, 1, 2]],
    ['a branch in the air', `${BLOCK}  +-02.0  X\n`, /^line 26: expected 02.0 below a bus/u, [0, 1, 2]],
    ['a cycle', BLOCK.replace('secondary=01', 'secondary=00').replace('01:00.0 N', '00:01.0 N'), null, [0, 1]],
  ] as const)('%s: refused with its line, lenient leaves it out', (_what, text, message, kept) => {
    if (message !== null) expect(() => readMachine(text)).toThrow(message);
    const { description, warnings } = readMachine(text, { lenient: true });
    expect(new Topology(description).functions).toHaveLength(kept.length);
    expect(warnings.length).toBeGreaterThan(0);
    expect(warnings.every(({ line }) => line === null || line > 0)).toBe(true);
  });

  test('the lines of a device that could not be read go with it', () => {
    const text = `${BLOCK}02:00.9 X: Y\n\tRegion 0: Memory at 1000 (32-bit, prefetchable)\n00: 00\n\n`;
    const { description, warnings } = readMachine(text, { lenient: true });
    expect(description.functions).toHaveLength(3);
    expect(warnings.map(({ text: what }) => what)).toEqual([
      expect.stringMatching(/^left out: expected a PCI function/u),
      'left out: 2 lines of the device in line 26',
    ]);
  });

  test('a line of any length makes a message that can be read', () => {
    const long = (): unknown => readMachine(`${BLOCK}00:02.0 ${'['.repeat(2 ** 20)}`);
    expect(long).toThrow(/^line 26: expected "class: vendor device" after 00:02\.0, got "\[{200,400}\.\.\.$/u);
  });

  test('noise of any length ends, and its warnings do too', () => {
    const noise = `${BLOCK}${'00:00.9 X: Y\n'.repeat(20_000)}`;
    const { warnings } = readMachine(noise, { lenient: true });
    expect(warnings).toHaveLength(10_001);
    expect(warnings.at(-1)).toEqual({ line: null, text: '10000 further warnings are not listed' });
  });
});
