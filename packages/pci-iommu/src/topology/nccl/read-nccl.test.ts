import { describe, expect, test } from 'vitest';
import { type MachineReading, readMachine, Topology, TopologyError } from '../index.ts';
import { readRealDump, realDumps, realDumpsState } from '../test-real-dumps.ts';

const CPU = 'numaid="3" arch="x86_64" vendor="AuthenticAMD" familyid="143" modelid="49"';

function read(inside: string, cpu = CPU): MachineReading {
  return readMachine(`<!-- a file -->\n<system version="1">\n<cpu ${cpu}>\n${inside}\n</cpu>\n</system>\n`);
}

function drawn({ description }: MachineReading): readonly string[] {
  return description.functions.map(({ bdf, kind, name, secondary, subordinate }) =>
    [bdf, kind, name ?? '-', ...(secondary === undefined ? [] : [`${secondary}..${subordinate}`])].join(' '),
  );
}

const SWITCH = `
  <pci busid="0000:41:00.0" class="0x060400" vendor="0x1000" device="0xc030" link_width="16">
    <pci busid="0000:43:00.0" class="0x030200" vendor="0x10de" device="0x20b0"><gpu dev="0" sm="80"/></pci>
    <pci busid="0000:44:00.0" class="0x020700"><nic><net name="mlx5_0" dev="0"/></nic></pci>
    <pci busid="0000:44:00.1" class="0x020700"><nic><net name="mlx5_1" dev="1"/></nic></pci>
  </pci>
  <pci busid="0000:61:00.0" class="0x020700"/>`;

describe('a topology file of NCCL', () => {
  test('switches, with the ports that the file leaves out', () => {
    expect(drawn(read(SWITCH))).toEqual([
      '0000:40:01.0 root-port implied 65..68',
      '0000:41:00.0 upstream-port - 66..68',
      '0000:42:00.0 downstream-port implied 67..67',
      '0000:43:00.0 unknown-device gpu0',
      '0000:42:01.0 downstream-port implied 68..68',
      '0000:44:00.0 unknown-device mlx5_0',
      '0000:44:00.1 unknown-device mlx5_1',
      '0000:60:01.0 root-port implied 97..97',
      '0000:61:00.0 unknown-device -',
    ]);
  });

  test('ids, NUMA nodes and processor; what it does not hold is unknown', () => {
    const { description, unknowns, source, listedGroups } = read(SWITCH);
    expect(source.format).toBe('nccl-xml');
    expect(listedGroups).toBeNull();
    expect(description.cpu).toEqual({ vendor: 'AMD', family: 0x17 });
    expect(description.functions[3]).toMatchObject({ vendor: 0x10de, device: 0x20b0, class: 0x030200, numaNode: 3 });
    expect(description.functions[2]).toMatchObject({ vendor: null, device: null, class: 0x060400, acs: 'unknown' });
    const named = (bdf: string): readonly string[] => unknowns.filter((one) => one.bdf === bdf).map(({ what }) => what);
    expect(named('0000:42:00.0')).toEqual(['ids', 'acs']);
    expect(named('0000:43:00.0')).toEqual(expect.arrayContaining(['acs', 'bars', 'pcie-type']));
  });

  test.each([
    ['vendor="GenuineIntel" familyid="6" modelid="85"', { vendor: 'Intel', family: 6 }],
    ['vendor="AuthenticAMD" familyid="175"', { vendor: 'AMD', family: 0x19 }],
    ['vendor="AuthenticAMD" familyid="191"', { vendor: 'AMD', family: 0x1a }],
    ['vendor="AuthenticAMD" familyid="23"', { vendor: 'AMD', family: 0x17 }],
    ['arch="arm64"', { vendor: 'ARM', family: null }],
    ['', { vendor: 'unknown', family: null }],
  ])('processor %s', (attributes, expected) => {
    expect(read(SWITCH, attributes).description.cpu).toEqual(expected);
  });

  test('names that form no tree get a domain of their own, and the warnings say which is which', () => {
    const { description, warnings } = read(`
      <pci busid="ffff:ff:01.0" class="0x060400" vendor="0xffff" device="0xffff">
        <pci busid="0003:00:00.0" class="0x030200"/>
        <pci busid="0103:00:00.0" class="0x020700"/>
      </pci>`);
    const topology = new Topology(description);
    expect(topology.hostBridges.map(String)).toEqual(['10000:00']);
    const [gpu, nic] = ['0003:00:00.0', '0103:00:00.0'].map((name) =>
      topology.functions.find((fn) => fn.label === name),
    );
    expect(topology.commonBridge(gpu!, nic!)?.label).toBe('ffff:ff:01.0');
    expect(topology.functions.every((fn) => fn.vendor === null)).toBe(true);
    expect(warnings[0]).toEqual({
      line: 5,
      text: 'ffff:ff:01.0 is 10000:01:01.0 here: with the names in the file the functions form no tree of buses',
    });
    expect(warnings).toHaveLength(3);
  });

  test('buses that follow each other share a root bus, devices that share a bus are on one', () => {
    const { description, warnings } = read(`
      <pci busid="0000:42:00.0" class="0x020000"/>
      <pci busid="0000:41:00.0" class="0x020000"/>
      <pci busid="0000:81:00.0" class="0x020000"/>
      <pci busid="0000:81:03.0" class="0x020000"/>
      <pci busid="0000:00:02.0" class="0x030000"/>`);
    expect(warnings).toEqual([]);
    expect(description.functions.map((fn) => `${fn.bdf} ${fn.name ?? '-'}`)).toEqual([
      '0000:00:02.0 -',
      '0000:40:01.0 implied',
      '0000:41:00.0 -',
      '0000:40:02.0 implied',
      '0000:42:00.0 -',
      '0000:81:00.0 -',
      '0000:81:03.0 -',
    ]);
    expect(description.hostBridges.map(({ domain, bus, busEnd }) => [domain, bus, busEnd])).toEqual([
      [0, 0, 0],
      [0, 0x40, 0x42],
      [0, 0x81, 0x81],
    ]);
  });

  test('names that collide are replaced in their branch only', () => {
    const { description } = read(`
      <pci busid="0000:41:00.0" class="0x020000"/>
      <pci busid="0000:42:00.0" class="0x060400"><pci busid="0000:41:02.0" class="0x020000"/></pci>`);
    expect(description.functions.map((fn) => `${fn.bdf} ${fn.name ?? '-'}`)).toEqual([
      '10000:00:01.0 implied',
      '10000:01:00.0 0000:41:00.0',
      '10001:00:01.0 implied',
      '10001:01:00.0 0000:42:00.0',
      '10001:02:00.0 implied',
      '10001:03:02.0 0000:41:02.0',
    ]);
  });

  test('switches below switches', () => {
    const reading = read(`
      <pci busid="0000:10:00.0" class="0x060400">
        <pci busid="0000:12:00.0" class="0x060400"><pci busid="0000:14:00.0" class="0x030200"/></pci>
        <pci busid="0000:16:00.0" class="0x020700"/>
      </pci>`);
    const topology = new Topology(reading.description);
    const path = topology.pathToRoot(topology.function('14:00.0')).map(({ kind }) => kind);
    expect(path).toEqual([
      'unknown-device',
      'downstream-port',
      'upstream-port',
      'downstream-port',
      'upstream-port',
      'root-port',
    ]);
    expect(topology.commonBridge(topology.function('14:00.0'), topology.function('16:00.0'))?.bdf).toBe('0000:10:00.0');
  });

  test.each([
    ['<system><cpu>', /line 1: expected XML: Unclosed root tag/u],
    ['<system>\n<cpu a=b/></system>', /line 2: expected XML: Unquoted attribute value/u],
    ['<html></html>', /line 1: expected a topology of NCCL: <system> with <cpu> inside/u],
    [
      '<system>\n<cpu>\n<pci busid="here"/></cpu></system>',
      /line 3: expected busid to be a PCI function .*, got "here"/u,
    ],
    ['<pci>'.repeat(300), /line 1: elements are nested too deep/u],
  ])('%j is refused', (text, message) => {
    expect(() => readMachine(text)).toThrow(message);
    expect(() => readMachine(text)).toThrow(TopologyError);
  });
});

test(`real topology files ${realDumpsState}`, () => {
  expect(realDumps === null).toBe(realDumpsState !== 'present');
});

describe.skipIf(realDumps === null)('topology files of real machines', () => {
  /** GPUs and network adapters by the switch that they are below; others stand alone. */
  function switchesOf(file: string): readonly string[] {
    const topology = new Topology(readMachine(readRealDump(file)).description);
    const switches = new Map<string, number[]>();
    for (const fn of topology.functions.filter((one) => !one.isBridge)) {
      const above = topology.pathToRoot(fn).find(({ kind }) => kind === 'upstream-port');
      const counts = switches.get(above?.bdf ?? '-') ?? [0, 0];
      counts[(fn.classCode ?? 0) >>> 16 === 0x02 ? 1 : 0]! += 1;
      switches.set(above?.bdf ?? '-', counts);
    }
    return [...switches.values()].map(([gpus, nics]) => `${gpus}+${nics}`);
  }

  test('p4d: four switches with two GPUs and a network adapter each', () => {
    expect(switchesOf('pci/nccl-topo.aws-p4d-8xa100-4xefa.xml')).toEqual(['2+1', '2+1', '2+1', '2+1']);
  });

  test('NDv4: four switches with two GPUs and two network adapters each', () => {
    expect(switchesOf('pci/nccl-topo.azure-ndv4-8xa100-8xcx6.xml')).toEqual(['2+2', '2+2', '2+2', '2+2']);
  });

  test('Rome: eight GPUs with a switch of their own, an adapter without, all names as in the file', () => {
    const file = 'pci/nccl-topo.rccl-8p-rome-n4.xml';
    expect(switchesOf(file)).toEqual(['1+0', '1+0', '1+0', '1+0', '1+0', '1+0', '1+0', '1+0', '0+1']);
    const reading = readMachine(readRealDump(file));
    expect(reading.warnings).toEqual([]);
    expect(reading.description.cpu).toEqual({ vendor: 'AMD', family: 0x17 });
    expect(reading.description.functions.find((fn) => fn.bdf === '0000:e1:00.0')).toMatchObject({ name: 'mlx5_0' });
  });
});
