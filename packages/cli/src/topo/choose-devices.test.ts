import { chooseDevices, functionOf, labelled } from '#dist/topo/choose-devices.js';
import { builtinMachine, type FunctionDescription, type MachineDescription, Topology } from '@dmabuf-emu/pci-iommu';
import { describe, expect, test } from 'vitest';

const genoa = new Topology(builtinMachine('genoa-4gpu'));

function machine(...functions: readonly Partial<FunctionDescription>[]): Topology {
  const description: MachineDescription = {
    schema: 'dmabuf-emu/machine@1',
    name: 'test',
    title: 'test',
    cpu: { vendor: 'Intel', family: 6 },
    hostBridges: [{ domain: 0, bus: 0, windows: [] }],
    functions: functions.map((fn, slot) => ({
      bdf: `0000:00:${slot.toString(16).padStart(2, '0')}.0`,
      vendor: 0x10de,
      device: 1,
      class: 0x030200,
      kind: 'rciep',
      bars: [],
      acs: null,
      flr: false,
      pm: false,
      ...fn,
    })),
  };
  return new Topology(description);
}

const labels = (topology: Topology, list?: string): readonly string[] =>
  chooseDevices(topology, list).map(({ label, fn }) => `${label} ${fn.bdf.slice(5)}`);

describe('without a list', () => {
  test('by class, in the order of the machine, with the names that the description gives', () => {
    expect(labels(genoa).filter((label) => /^(GPU|NIC)/u.test(label))).toEqual([
      'GPU0 01:00.0',
      'NIC0 21:00.0',
      'NIC1 21:00.1',
      'GPU1 41:00.0',
      'NIC2 81:00.0',
      'NIC3 81:00.1',
      'NIC4 82:00.0',
      'NIC5 82:00.1',
      'GPU2 c1:00.0',
      'GPU3 e1:00.0',
    ]);
  });

  test('the graphics of a management controller are no GPU; an FPGA is an accelerator whatever class it has', () => {
    const topology = machine(
      { vendor: 0x1a03, class: 0x030000 },
      { vendor: 0x10ee, class: 0x070001 },
      { class: 0x010802 },
      { class: 0x0c0330 },
    );
    expect(labels(topology)).toEqual(['ACC0 00:01.0', 'NVME0 00:02.0']);
  });

  test('names of the description that others would get are left to it', () => {
    expect(labels(machine({}, { name: 'gpu0' }, {}))).toEqual(['GPU1 00:00.0', 'GPU0 00:01.0', 'GPU2 00:02.0']);
  });

  test('without any class, all ends of paths, if they are few', () => {
    const unknown = { class: null, vendor: null, device: null } as const;
    expect(labels(machine(unknown, unknown))).toEqual(['DEV0 00:00.0', 'DEV1 00:01.0']);
  });
});

describe('with a list', () => {
  test('categories, names and addresses, each once', () => {
    expect(labels(genoa, 'gpu,gpu0,01:00.0,0000:60:01.1')).toEqual([
      'GPU0 01:00.0',
      'GPU1 41:00.0',
      'DEV0 60:01.1',
      'GPU2 c1:00.0',
      'GPU3 e1:00.0',
    ]);
  });

  test('all: everything that is no bridge', () => {
    const all = chooseDevices(genoa, 'all');
    expect(all.some(({ fn }) => fn.isBridge || fn.kind === 'host-bridge')).toBe(false);
    expect(all.length).toBeGreaterThan(50);
    expect(new Set(all.map(({ label }) => label)).size).toBe(all.length);
  });

  test('a label does not depend on what else is asked for', () => {
    const alone = labelled(genoa, [genoa.function('82:00.1')]);
    expect(alone.map(({ label }) => label)).toEqual(['NIC5']);
  });

  test.each([
    ['gpus', /--devices: expected gpu, nic, nvme, accel, all or functions such as .* got "gpus"/u],
    ['gpu,', /--devices: .* got ""/u],
    ['99:00.0', /--devices: no function 0000:99:00\.0 in machine genoa-4gpu .*; near it: /u],
  ])('%j is refused', (list, message) => {
    expect(() => chooseDevices(genoa, list)).toThrow(message);
  });
});

test('a function by label, name or address', () => {
  expect(functionOf(genoa, '--from', 'NIC5').bdf).toBe('0000:82:00.1');
  expect(functionOf(genoa, '--from', 'nvme0').bdf).toBe('0000:02:00.0');
  expect(functionOf(genoa, '--from', 'nic1').bdf).toBe('0000:21:00.1');
  expect(functionOf(genoa, '--from', '21:00.1').bdf).toBe('0000:21:00.1');
  expect(() => functionOf(genoa, '--from', 'nic99')).toThrow(/--from: expected a function such as .* got "nic99"/u);
});
