import { describe, expect, test } from 'vitest';
import { readRealDump, realDumpNames, realDumps, realDumpsState } from '../test-real-dumps.ts';
import {
  describeFunctions,
  type LspciListing,
  parseLspci,
  parseLspciTree,
  type RawBar,
  type RawFunction,
  Topology,
} from '../index.ts';

/** Every stored listing of lspci: parses, converts, and has as many functions, dumps and control words as counted by hand. */
const EXPECTED: Readonly<Record<string, readonly [functions: number, dumps: number, withAcs: number, roots: number]>> =
  {
    'pci/amd-carrizo-hp-laptop.lspci-vvv.txt': [25, 0, 0, 1],
    'pci/amd-genoa-2s-asus-esc8000a-rtx6000ada-cx7.lspci-tv.md': [8, 0, 2, 8],
    'pci/amd-renoir-asus-pn51.lspci-vvv.txt': [34, 0, 16, 1],
    'pci/amd-threadripperpro-wrx80-2xa6000.lspci-nnDvvvxxx.txt': [96, 96, 32, 4],
    'pci/arm-neoverse-n1sdp-pex8749.lspci-vvvxxx.txt': [16, 16, 6, 2],
    'pci/intel-coffeelake-h-hp-laptop-optane.lspci-vvv.txt': [34, 0, 9, 1],
    'pci/intel-cometlake-u-dell-laptop.lspci-vv.txt': [22, 0, 2, 1],
    'pci/intel-h61-desktop.lspci-nnvvvxxxx.txt': [11, 11, 0, 1],
    'pci/intel-icelake-sp-2s-dell-connectx5.lspci-vvv.txt': [320, 0, 7, 14],
    'pci/intel-kabylake-microtca-pex8748.report.txt': [42, 0, 20, 1],
    'pci/intel-laptop-hotplug-before.lspci.txt': [20, 0, 1, 1],
    'pci/intel-lenovo-tb3-egpu-2x3090.lspci-v.txt': [47, 0, 0, 1],
    'pci/intel-x99-kernel5.9-iommu-groups-regression.txt': [13, 3, 2, 5],
    'config/amd-radeon-pro-wx3100-and-rootport.lspci-vvvxxx.txt': [2, 2, 1, 1],
    'config/intel-skylake-igpu-ats-pri-pasid.lspci-vvvxxxx.txt': [1, 1, 0, 1],
    'config/intel-sunrisepoint-rootport-acs.lspci-vvvxxxx.txt': [1, 1, 1, 1],
    'config/intel-x99-rootports-acs-quirk.lspci-vvvv-xxxx.txt': [3, 3, 2, 1],
    'config/mellanox-connectx3pro-and-haswell-ep-rootport.lspci-vvvxxxx.txt': [2, 2, 1, 1],
    'config/mellanox-connectx5ex-sriov-flr.lspci-vv-xxx.txt': [2, 1, 0, 1],
    'config/nvme-samsung-pm174x.lspci-vvvxxxx.txt': [1, 1, 0, 1],
    'config/plx-pex8749-switch-ports.lspci-vvvxxx.txt': [7, 7, 6, 1],
    'config/plx-pex8796-switch-upstream.lspci-vvvxxxx.txt': [1, 1, 0, 1],
  };
const NOT_LSPCI = /\.(?:dmesg-iommu|iommu-groups|lspci-tv|lspci-nntv)\.txt$|p2p-verdict/u;
const HEX_LINE = /^[0-9a-f]{2,3}: /u;
const DEVICE_LINE = /^(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7] /u;

function hasAcs(fn: RawFunction): boolean {
  return fn.acs !== null && fn.acs !== 'unknown';
}

function parseLines(text: string, keep: (line: string) => boolean): LspciListing {
  return parseLspci(
    text
      .split('\n')
      .filter((line) => keep(line))
      .join('\n'),
  );
}

test(`real dumps ${realDumpsState}`, () => {
  expect(realDumps === null).toBe(realDumpsState !== 'present');
});

describe.skipIf(realDumps === null)('listings of real machines', () => {
  const texts = realDumpNames(/\.(?:txt|md)$/u);

  test('no stored listing is forgotten here', () => {
    expect(texts.filter((name) => !NOT_LSPCI.test(name)).toSorted()).toEqual(Object.keys(EXPECTED).toSorted());
  });

  test.each(texts.filter((name) => name in EXPECTED))('%s parses and becomes a topology', (name) => {
    const { functions } = parseLspci(readRealDump(name));
    const topology = new Topology(describeFunctions(functions, { name: 'dump' }).description);
    expect([
      functions.length,
      functions.filter((fn) => fn.config !== null).length,
      functions.filter((fn) => hasAcs(fn)).length,
      topology.hostBridges.length,
    ]).toEqual(EXPECTED[name]);
    expect(topology.functions).toHaveLength(functions.length);
  });

  test.each(texts.filter((name) => name in EXPECTED))('%s: every line that counts was understood', (name) => {
    const text = readRealDump(name);
    const { functions, warnings } = parseLspci(text);
    if (warnings.length > 0) return;
    const count = (pattern: RegExp): number => text.split('\n').filter((line) => pattern.test(line)).length;
    const withField = (has: (fn: RawFunction) => boolean): number => functions.filter((fn) => has(fn)).length;
    expect(withField((fn) => fn.driver !== null)).toBe(count(/^\s+Kernel driver in use: /u));
    if (name.includes('connectx5ex')) return;
    expect(withField((fn) => fn.iommuGroup !== null)).toBe(
      count(/^\s+(?:Flags: .*)?IOMMU group:? \d|, IOMMU group \d/u),
    );
    expect(withField((fn) => fn.numaNode !== null)).toBe(count(/^\s+NUMA node: \d/u));
    if (count(HEX_LINE) === 0) expect(withField((fn) => fn.bus !== null)).toBe(count(/^\s+Bus: primary=/u));
    // Lines of a capability are indented by two tabs (or 16 blanks).
    const regions = count(/^(?:\t| {8,9})(?:\[virtual\] )?(?:Region \d: |Memory at|I\/O ports at)/u);
    if (count(HEX_LINE) === 0) expect(functions.flatMap((fn) => fn.bars)).toHaveLength(regions);
  });

  test.each(texts.filter((name) => (EXPECTED[name]?.[1] ?? 0) > 0))('%s: words and bytes tell the same', (name) => {
    const text = readRealDump(name);
    const words = parseLines(text, (line) => !HEX_LINE.test(line)).functions;
    const bytes = parseLines(text, (line) => HEX_LINE.test(line) || DEVICE_LINE.test(line)).functions;
    const byBdf = new Map(words.map((fn) => [fn.bdf, fn]));
    const compared = bytes.flatMap((fn) => {
      const other = byBdf.get(fn.bdf);
      return other === undefined || fn.config === null ? [] : [agreement(other, fn)];
    });
    expect(compared.length).toBeGreaterThan(0);
    expect(compared.map((pair) => pair.words)).toEqual(compared.map((pair) => pair.bytes));
  });

  test.each([
    [
      'pci/amd-threadripperpro-wrx80-2xa6000.lspci-nntv.txt',
      'pci/amd-threadripperpro-wrx80-2xa6000.lspci-nnDvvvxxx.txt',
    ],
    ['pci/intel-lenovo-tb3-egpu-2x3090.lspci-tv.txt', 'pci/intel-lenovo-tb3-egpu-2x3090.lspci-v.txt'],
    ['pci/intel-kabylake-microtca-pex8748.report.txt', 'pci/intel-kabylake-microtca-pex8748.report.txt'],
  ])('%s draws the tree of %s', (drawing, listing) => {
    const buses = (functions: readonly RawFunction[]): readonly string[] =>
      functions.map((fn) => `${fn.bdf} ${fn.bus?.secondary ?? '-'}..${fn.bus?.subordinate ?? '-'}`).toSorted();
    expect(buses(parseLspciTree(readRealDump(drawing)))).toEqual(buses(parseLspci(readRealDump(listing)).functions));
  });
});

/** The facts that both forms of a listing show of one function, side by side. */
function agreement(words: RawFunction, bytes: RawFunction): { words: unknown; bytes: unknown } {
  const left: Record<string, unknown> = { bdf: words.bdf };
  const right: Record<string, unknown> = { bdf: bytes.bdf };
  const compare = (what: string, a: unknown, b: unknown): void => {
    if (a === null || b === null || a === 'unknown' || b === 'unknown') return;
    left[what] = a;
    right[what] = b;
  };
  compare('vendor', words.vendor, bytes.vendor);
  if (!words.idsByName) compare('device', words.device, bytes.device);
  compare('class', shortClass(words), shortClass(bytes));
  compare('bus', words.bus, bytes.bus);
  if (words.bus !== null) compare('windows', words.windows, bytes.windows);
  compare('pcieType', words.pcieType ?? 'none', bytes.pcieType ?? 'none');
  compare('acs', words.acs ?? 'none', bytes.acs ?? 'none');
  compare('flr', words.flr, bytes.flr);
  compare('pm', words.pm, bytes.pm);
  compare('ats', words.ats, bytes.ats);
  compare('sriov', words.sriov, bytes.sriov);
  compare('msix', words.msix, bytes.msix);
  compare('command', words.command, (bytes.command ?? 0) & 0x407);
  for (const bar of words.bars) {
    const register = bytes.bars.find((candidate) => candidate.index === bar.index);
    if (register === undefined || bar.flags.length > 0) continue;
    compare(`bar ${bar.index}`, shapeOf(bar), shapeOf(register));
  }
  return { words: left, bytes: right };
}

function shortClass(fn: RawFunction): number | null {
  return fn.class === null ? null : fn.class >>> 8;
}

function shapeOf(bar: RawBar): unknown {
  return { kind: bar.kind, prefetchable: bar.prefetchable, address: bar.address };
}
