import { isKernelError, Machine, Random } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { PciSystem } from '../system/index.ts';
import { BAR, NODE, smallTopology, testSystem } from '../system/test-system.ts';

const PAGE = 4096;
const MIB = 2 ** 20;

function setup(machine: Machine, busOffset = 0) {
  const pci = testSystem(machine, { iommu: false, busOffset });
  const [a, b, c, d] = [NODE.A0, NODE.B, NODE.C, NODE.D].map((bdf) => pci.function(bdf).topology);
  return { pci, memory: pci.p2p.memory, a: a!, b: b!, c: c!, d: d! };
}

function code(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    return isKernelError(error) ? error.code : String(error);
  }
  return 'none';
}

describe('what may be added (drivers §2.7)', () => {
  test.each<[string, number, number, number, string]>([
    ['all of a BAR', 0, 0, 0, 'none'],
    ['a part', 0, MIB, MIB, 'none'],
    ['the rest from an offset', 0, 0, BAR.A_BYTES - PAGE, 'none'],
    ['an offset behind the end', 0, 0, BAR.A_BYTES, 'EINVAL'],
    ['more than there is', 0, BAR.A_BYTES, PAGE, 'EINVAL'],
    ['half a page', 0, PAGE / 2, 0, 'EINVAL'],
    ['a BAR that does not exist', 4, 0, 0, 'EINVAL'],
  ])('%s', (_what, bar, size, offset, expected) => {
    using machine = testMachine();
    const { pci, memory, a } = setup(machine);
    expect(code(() => memory.addResource(a, bar, size, offset))).toBe(expected);
    expect(memory.sizes(a).size).toBe(expected === 'none' ? size || BAR.A_BYTES - offset : 0);
    expect(pci.p2p.isInitialised(a)).toBe(expected === 'none');
    pci.p2p.release(a);
  });

  test('not what was added before, not BARs that the CPU cannot map', () => {
    using machine = testMachine();
    const { pci, memory, a } = setup(machine);
    memory.addResource(a, 0, MIB);
    machine.diag.expect('warn', 'p2pmem-conflict');
    expect(code(() => memory.addResource(a, 0, PAGE, MIB - PAGE))).toBe('ENOMEM');
    memory.addResource(a, 2);
    expect(memory.sizes(a)).toEqual({ size: MIB + BAR.A2_BYTES, available: MIB + BAR.A2_BYTES });
    pci.p2p.release(a);
    using other = testMachine();
    const topology = smallTopology();
    const functions = topology.functions.map((fn) => (fn.bdf === NODE.A0 ? { ...fn, nonMappableBars: true } : fn));
    const odd = PciSystem.create(other, { topology: { ...topology, functions } });
    expect(code(() => odd.p2p.memory.addResource(odd.function(NODE.A0).topology, 0))).toBe('EOPNOTSUPP');
  });

  test('every allocation may fail: nothing is left behind', () => {
    using machine = testMachine();
    const { pci, memory, a } = setup(machine);
    let failures = 0;
    for (let n = 1; ; n++) {
      machine.faults.failNth(n);
      const result = code(() => memory.addResource(a, 0, MIB));
      machine.faults.off();
      if (result === 'none') break;
      expect(result).toBe('ENOMEM');
      expect(memory.chunks(a)).toEqual([]);
      failures++;
    }
    expect(failures).toBeGreaterThan(1);
    pci.p2p.release(a);
  });
});

describe('pages of a BAR', () => {
  test('lowest first, in the range that was added last; freed ones are given out again', () => {
    using machine = testMachine();
    const { pci, memory, a } = setup(machine);
    memory.addResource(a, 0, 4 * PAGE);
    memory.addResource(a, 2, 2 * PAGE);
    expect(memory.alloc(a, 1)).toBe(BAR.A2);
    expect(memory.alloc(a, 2 * PAGE)).toBe(BAR.A);
    expect(memory.alloc(a, PAGE + 1)).toBe(BAR.A + 2 * PAGE);
    expect(memory.alloc(a, 2 * PAGE)).toBeNull();
    expect(memory.sizes(a)).toEqual({ size: 6 * PAGE, available: PAGE });
    memory.free(a, BAR.A, 2 * PAGE);
    expect(memory.alloc(a, PAGE)).toBe(BAR.A2 + PAGE);
    expect(memory.alloc(a, PAGE)).toBe(BAR.A);
    for (const [address, bytes] of [
      [BAR.A2, 2 * PAGE],
      [BAR.A, PAGE],
      [BAR.A + 2 * PAGE, 2 * PAGE],
    ] as const) {
      memory.free(a, address, bytes);
    }
    expect(memory.sizes(a).available).toBe(6 * PAGE);
    pci.p2p.release(a);
    expect(memory.sizes(a)).toEqual({ size: 0, available: 0 });
  });

  test('none of size 0, without initialisation, when the allocation is made to fail', () => {
    using machine = testMachine();
    const { pci, memory, a, b } = setup(machine);
    memory.addResource(a, 0, MIB);
    expect(memory.alloc(a, 0)).toBeNull();
    expect(memory.alloc(b, PAGE)).toBeNull();
    machine.faults.failNth(1, { site: 'pci_alloc_p2pmem' });
    expect(memory.alloc(a, PAGE)).toBeNull();
    pci.p2p.release(a);
  });

  test('freeing what was not given out is a BUG', () => {
    using machine = testMachine();
    const { pci, memory, a } = setup(machine);
    memory.addResource(a, 0, MIB);
    for (let i = 0; i < 3; i++) machine.diag.expect('bug', 'p2pmem-bad-free');
    expect(() => memory.free(a, BAR.A, PAGE)).toThrow(/was not given out/u);
    memory.alloc(a, 2 * PAGE);
    expect(() => memory.free(a, BAR.A + 1, PAGE)).toThrow(/was not given out/u);
    expect(() => memory.free(a, BAR.A, 3 * PAGE)).toThrow(/was not given out/u);
    memory.free(a, BAR.A + PAGE, PAGE);
    memory.free(a, BAR.A, PAGE);
    pci.p2p.release(a);
  });

  test('the bus address is that of peers', () => {
    using machine = testMachine();
    const { pci, memory, a, b } = setup(machine, -0x1_0000_0000);
    memory.addResource(a, 0, MIB);
    const address = memory.alloc(a, PAGE)!;
    expect(memory.busAddressOf(a, address + 5)).toBe(address - 0x1_0000_0000 + 5);
    expect([memory.busAddressOf(a, 0), memory.busAddressOf(b, address), memory.busAddressOf(a, BAR.A2)]).toEqual([
      0, 0, -1,
    ]);
    memory.free(a, address, PAGE);
    pci.p2p.release(a);
  });

  test('all threads take from one pool, devices reach what it gives', () => {
    using machine = testMachine();
    const { pci, memory, a } = setup(machine);
    memory.addResource(a, 0, 2 * PAGE);
    using other = Machine.join(machine.handle);
    const twin = PciSystem.of(other).p2p.memory;
    const addresses = [memory.alloc(a, PAGE), twin.alloc(a, PAGE), twin.alloc(a, PAGE), memory.alloc(a, PAGE)];
    expect(addresses).toEqual([BAR.A, BAR.A + PAGE, null, null]);
    pci.function(NODE.C).dma.write(BAR.A, Uint8Array.of(7));
    expect(pci.function(NODE.B).dma.read(BAR.A, 1)).toEqual(Uint8Array.of(7));
    twin.free(a, BAR.A, PAGE);
    memory.free(a, BAR.A + PAGE, PAGE);
    pci.p2p.release(a);
  });

  test('a table with one entry, and back', () => {
    using machine = testMachine();
    const { pci, memory, a } = setup(machine);
    memory.addResource(a, 0, 2 * PAGE);
    const table = memory.allocSgl(a, PAGE + 1)!;
    expect(table.entries()).toEqual([{ address: BAR.A, length: PAGE + 1 }]);
    expect(memory.allocSgl(a, PAGE)).toBeNull();
    memory.freeSgl(a, table);
    machine.faults.failNth(1, { site: 'pci_p2pmem_alloc_sgl' });
    expect(memory.allocSgl(a, PAGE)).toBeNull();
    expect(memory.sizes(a).available).toBe(2 * PAGE);
    pci.p2p.release(a);
  });

  test('a driver that goes while its memory is in use is reported; verify finds what is not freed', () => {
    using machine = testMachine();
    const { pci, memory, a } = setup(machine);
    memory.addResource(a, 0, MIB);
    memory.alloc(a, 3 * PAGE);
    expect(machine.verify().leaks).toEqual([`p2pmem: 3 pages of the peer-to-peer memory of ${NODE.A0} were not freed`]);
    machine.diag.expect('warn', 'p2pmem-in-use');
    pci.p2p.release(a);
    expect(machine.verify().leaks).toEqual([]);
  });
});

describe('finding memory', () => {
  test('the nearest that is published and that all clients reach', () => {
    using machine = testMachine();
    const { pci, memory, a, b, c, d } = setup(machine);
    for (const fn of [a, c]) {
      memory.addResource(fn, 0, MIB);
      expect(memory.isPublished(fn)).toBe(false);
    }
    expect(memory.find(b)).toBeNull();
    memory.publish(b, true);
    expect(memory.isPublished(b)).toBe(false);
    memory.publish(a, true);
    memory.publish(c, true);
    expect(memory.find(b)).toBe(a);
    expect(memory.find(c)).toBe(c);
    expect(memory.findMany([b, d])).toBe(a);
    expect(memory.findMany([c, d])).toBe(c);
    expect(memory.findMany([b, null])).toBeNull();
    memory.publish(a, false);
    expect(memory.find(b)).toBe(c);
    for (const fn of [a, c]) pci.p2p.release(fn);
    expect(memory.find(b)).toBeNull();
  });

  test('chance decides among those that are equally near', () => {
    using machine = testMachine();
    const { pci, memory, a, c, d } = setup(machine);
    const b = pci.function(NODE.B).topology;
    for (const fn of [a, b]) {
      memory.addResource(fn, 0, MIB);
      memory.publish(fn, true);
    }
    const random = new Random(1);
    const found = new Set(Array.from({ length: 50 }, () => memory.find(d, random)));
    expect(found).toEqual(new Set([a, b]));
    expect(memory.find(c)).toBe(a);
    for (const fn of [a, b]) pci.p2p.release(fn);
  });

  test('a function that published without adding anything counts as memory', () => {
    using machine = testMachine();
    const { pci, memory, a, b } = setup(machine);
    pci.p2p.init(a);
    memory.publish(a, true);
    expect(memory.find(b)).toBe(a);
    expect(memory.alloc(a, PAGE)).toBeNull();
    pci.p2p.release(a);
  });
});

describe('what an administrator writes', () => {
  test.each<[string, string]>([
    ['0', '0\n'],
    ['1\n', '1\n'],
    ['y', '1\n'],
    ['off', '0\n'],
    ['On', '1\n'],
    [NODE.A0, `${NODE.A0}\n`],
    [`${NODE.A0}\n`, `${NODE.A0}\n`],
  ])('%j is shown as %j', (text, shown) => {
    using machine = testMachine();
    const { pci, memory, a } = setup(machine);
    memory.addResource(a, 0, MIB);
    memory.publish(a, true);
    expect(memory.formatChoice(memory.parseChoice(text))).toBe(shown);
    pci.p2p.release(a);
  });

  test.each([NODE.B, '0000:77:00.0', '01', 'maybe', ''])('%j is refused', (text) => {
    using machine = testMachine();
    const { memory } = setup(machine);
    expect(code(() => memory.parseChoice(text))).toBe('ENODEV');
  });
});
