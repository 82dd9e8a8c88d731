import { wholeText } from '#dist/topo/text/whole-text.js';
import { PLAIN, type Style } from '@dmabuf-emu/stress';
import { describe, expect, test } from 'vitest';
import { HOSTILE, hostileMachine } from '../test-hostile-machine.ts';
import { tableOf, viewOf } from '../test-view.ts';

const BASE = { setupText: 'IOMMU off', pair: false, all: false, width: 120, style: PLAIN };
const aurora = viewOf('aurora-8ve');

function textOf(name: string, list?: string, width = 120): string {
  const view = viewOf(name);
  return wholeText({ ...BASE, view, table: tableOf(view, list), width });
}

test('a whole machine', () => {
  expect(textOf('aurora-8ve', 've0,ve1,nic0')).toMatchInlineSnapshot(`
    "dmabuf-emu topo: aurora-8ve  Dual Xeon (Skylake-SP) server: 8 vector engines and 2 InfiniBand adapters below 2 PCIe switches

    source    machine (machine)
    machine   24 functions, 2 host bridges, 14 ports, CPU Intel family 0x6
    setup     IOMMU off

    tree
    [0000:17]                    host bridge, NUMA 0
    └─ 17:00.0                   root port, Intel Sky Lake-E PCI Express Root Port A                        ACS off  group 0
       └─ 18:00.0                switch upstream port, PLX PEX9781 97-Lane, 25-Port…                        no ACS   group 1
          ├─ 19:04.0             switch downstream port, PLX PEX9781 97-Lane, 25-Por…                       ACS off  group 2
          │  └─ 1a:00.0          NIC0  Mellanox MT27700 Family [ConnectX-4]            32M*                          group 7
          ├─ 19:08.0             switch downstream port, PLX PEX9781 97-Lane, 25-Por…                       ACS off  group 3
          │  └─ 1b:00.0          VE0  NEC Vector Engine 1.0                            64G* 32M 256K 4K 4K           group 8
          ├─ 19:0c.0             switch downstream port, PLX PEX9781 97-Lane, 25-Por…                       ACS off  group 4
          │  └─ 1c:00.0          VE1  NEC Vector Engine 1.0                            64G* 32M 256K 4K 4K           group 9
          ├─ 19:10.0             switch downstream port, PLX PEX9781 97-Lane, 25-Por…                       ACS off  group 5
          │  └─ 1d:00.0          NEC Vector Engine 1.0                                 64G* 32M 256K 4K 4K           group 10
          └─ 19:14.0             switch downstream port, PLX PEX9781 97-Lane, 25-Por…                       ACS off  group 6
             └─ 1e:00.0          NEC Vector Engine 1.0                                 64G* 32M 256K 4K 4K           group 11
    [0000:3a]                    host bridge, NUMA 0
    └─ 3a:00.0                   root port, Intel Sky Lake-E PCI Express Root Port A                        ACS off  group 12
       └─ 3b:00.0                switch upstream port, PLX PEX9781 97-Lane, 25-Port…                        no ACS   group 13
          └─ 3c:04.0 .. 3c:14.0  5 ports, 5 behind

    peer-to-peer
           NIC0    VE0    VE1
    NIC0      .  BUS 4  BUS 4
    VE0   BUS 4      .  BUS 4
    VE1   BUS 4  BUS 4      .

    row: whose memory; column: who reaches it; BUS by bus address, below a common bridge; the number counts hops

    NIC0  0000:1a:00.0  Mellanox MT27700 Family [ConnectX-4]
    VE0   0000:1b:00.0  NEC Vector Engine 1.0
    VE1   0000:1c:00.0  NEC Vector Engine 1.0

    IOMMU groups
       7  1a:00.0 NIC0
       8  1b:00.0 VE0
       9  1c:00.0 VE1
          and 21 groups of one function: -v
    "
  `);
});

test('a pair: verdict, reason, the way step by step, what would change it', () => {
  const view = viewOf('aurora-8ve', { iommu: true });
  const table = tableOf(view, 'nic0,ve0');
  const lines = wholeText({ ...BASE, view, table, pair: true }).split('\n');
  const { because, remedies } = table.at(0, 1);
  expect(lines).toContain('VE0 0000:1b:00.0 reaches the memory of NIC0 0000:1a:00.0');
  expect(lines).toContain('  THRU_HOST_BRIDGE: through the host bridge, 4 hops, PIX in the words of nvidia-smi topo');
  expect(lines.map((line) => line.trim()).join(' ')).toContain(`because ${because}`);
  const way = lines.slice(lines.findIndex((line) => line.startsWith('  memory of')));
  expect(way.slice(0, 6).map((line) => line.replaceAll(/ {2,}/gu, '  ').trim())).toEqual([
    'memory of  0000:1a:00.0  endpoint  no ACS',
    '0000:19:04.0  switch downstream port  ACS SrcValid ReqRedir CmpltRedir UpstreamFwd  <- redirects to the root',
    'common  0000:18:00.0  switch upstream port  no ACS',
    'turns at  0000:17  host bridge',
    '0000:19:08.0  switch downstream port  ACS SrcValid ReqRedir CmpltRedir UpstreamFwd  <- redirects to the root',
    'reached by  0000:1b:00.0  endpoint  no ACS',
  ]);
  expect(remedies.length).toBeGreaterThan(0);
  for (const remedy of remedies) expect(lines).toContain(`    ${remedy}`);
  expect(lines).toContain('  the other way round: THRU_HOST_BRIDGE too');
});

test('a pair whose other direction has another answer: both', () => {
  const machine = viewOf('genoa-4gpu');
  const twoWays = tableOf(machine, 'nic0,gpu0');
  const fake = {
    devices: twoWays.devices,
    at: twoWays.at.bind(twoWays),
    *pairs() {
      const [there, back] = [...twoWays.pairs()];
      yield there!;
      yield { ...back!, answer: { ...back!.answer, type: 'NOT_SUPPORTED' as const } };
    },
  };
  const text = wholeText({ ...BASE, view: machine, table: fake as unknown as typeof twoWays, pair: true });
  expect(text).toContain('NIC0 0000:21:00.0 reaches the memory of GPU0 0000:01:00.0');
  expect(text).toContain('GPU0 0000:01:00.0 reaches the memory of NIC0 0000:21:00.0');
  expect(text).toContain('<- does not forward');
});

describe('width', () => {
  test.each(['genoa-4gpu', 'wrx80-2gpu', 'microtca-2switch'])('the matrix of %s is cut to it', (name) => {
    for (const width of [40, 80]) {
      const matrix = textOf(name, undefined, width).split('peer-to-peer\n')[1]!.split('\nrow: ')[0]!;
      const lines = matrix.split('\n');
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(width);
      expect(lines.some((line) => /^ +[A-Z]/u.test(line))).toBe(true);
    }
  });

  test('names in the tree are cut, unless all is asked for', () => {
    const view = viewOf('microtca-2switch');
    const long =
      'switch upstream port, PLX PEX 8725 24-Lane, 10-Port PCI Express Gen 3 (8.0 GT/s) Multi-Root Switch with DMA';
    expect(wholeText({ ...BASE, view, table: tableOf(view) })).not.toContain(long);
    expect(wholeText({ ...BASE, view, table: tableOf(view), all: true })).toContain(long);
  });
});

describe('many devices', () => {
  test('those with the same answers share a row and are named together', () => {
    const text = textOf('genoa-4gpu');
    expect(text).toMatch(/^GPU0-3 +HB 4 .*$/mu);
    expect(text).toMatch(/^NVME1-4 +HB 8 .* BUS 4 +BUS 8 .*$/mu);
    expect(text).toMatch(/^NVME1-4 +0000:65:00\.0 \.\. 0000:68:00\.0 +4 x Samsung /mu);
  });

  test('with all, each has its own', () => {
    const view = viewOf('genoa-4gpu');
    const all = wholeText({ ...BASE, view, table: tableOf(view), all: true });
    expect(all).toMatch(/^GPU3 +HB 4 .*$/mu);
    expect(all).not.toContain('GPU0-3');
  });
});

describe('a machine of 198 functions', () => {
  const text = textOf('genoa-4gpu');

  test('what nobody asks about is folded', () => {
    const tree = text.split('\ntree\n')[1]!.split('\n\npeer-to-peer')[0]!;
    expect(tree.split('\n').length).toBeLessThan(110);
    expect(tree).toMatch(/00:07\.0 \.\. 00:19\.7 +19 functions, 1 port, 4 behind/u);
  });

  test('with all, every function has a line', () => {
    const view = viewOf('genoa-4gpu');
    const all = wholeText({ ...BASE, view, table: tableOf(view), all: true });
    for (const fn of view.topology.functions) expect(all).toContain(`─ ${view.names.short(fn)} `);
    expect(all).not.toContain('-v');
  });

  test('unknowns are counted, with all each is named', () => {
    expect(text).toMatch(/unknown +ids of 48 functions \(0000:00:05\.1, 0000:00:07\.1, 0000:20:07\.1, \.\.\.\)/u);
    const view = viewOf('genoa-4gpu');
    const all = wholeText({ ...BASE, view, table: tableOf(view), all: true });
    expect(all.match(/ids of 0000:/gu)).toHaveLength(48);
  });
});

test('without devices to ask about, how to name them', () => {
  const machine = {
    ...aurora.reading.description,
    functions: aurora.reading.description.functions.filter((fn) => fn.kind !== 'endpoint'),
  };
  const view = viewOf(machine);
  expect(wholeText({ ...BASE, view, table: tableOf(view) })).toContain('name functions with --devices');
});

test('answers are painted by kind, and only whole cells', () => {
  const mark = (name: string) => (text: string) => `<${name}>${text}</${name}>`;
  const style: Style = { bold: mark('b'), dim: mark('d'), good: mark('g'), bad: mark('r'), warn: mark('w') };
  const painted = wholeText({ ...BASE, view: aurora, table: tableOf(aurora, 've0,ve1,ve4'), style });
  expect(painted).toContain('<g>BUS 4</g>');
  expect(painted).toContain('<b> HB 8</b>');
  expect(painted.replaceAll(/<\/?[bdgrw]>/gu, '')).toBe(
    wholeText({ ...BASE, view: aurora, table: tableOf(aurora, 've0,ve1,ve4') }),
  );
});

test('hostile texts reach no terminal', () => {
  const view = viewOf(hostileMachine());
  const text = wholeText({ ...BASE, view, table: tableOf(view), all: true });
  expect(text).toContain(HOSTILE.slice(0, 20));
  expect(text).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
});
