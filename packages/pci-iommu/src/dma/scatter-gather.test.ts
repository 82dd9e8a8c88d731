import { propertyRuns, testMachine } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IommuProt } from '../iommu/index.ts';
import type { PciSystem } from '../system/index.ts';
import { BAR, NODE, testSystem } from '../system/test-system.ts';
import { DmaFault } from './fault-record.ts';
import type { SgEntry } from './scatter-gather.ts';

const RW = IommuProt.READ | IommuProt.WRITE;
const bytes = (length: number, seed = 1): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);
const A_LIST: readonly SgEntry[] = [
  { address: BAR.A + 0x2000, length: 100 },
  { address: BAR.A, length: 0 },
  { address: BAR.A + 0x100, length: 28 },
  { address: BAR.A + 0x8000, length: 5000 },
];
const A_BYTES = 5128;

/** A system whose function B reaches the BARs of A by bus addresses. */
function direct(machine: Parameters<typeof testSystem>[0]): PciSystem {
  return testSystem(machine, { iommu: false, checks: false });
}

describe('lists of address ranges', () => {
  test('are written and read in their order, empty entries skipped', () => {
    using machine = testMachine();
    const pci = direct(machine);
    const { sg } = pci.function(NODE.B).dma;
    expect(sg.write(A_LIST, bytes(A_BYTES))).toBe(A_BYTES);
    expect(pci.memory.cpuRead(BAR.A + 0x2000, 100)).toEqual(bytes(A_BYTES).slice(0, 100));
    expect(pci.memory.cpuRead(BAR.A + 0x100, 28)).toEqual(bytes(A_BYTES).slice(100, 128));
    const into = new Uint8Array(A_BYTES);
    expect(sg.read(A_LIST, into)).toBe(A_BYTES);
    expect(into).toEqual(bytes(A_BYTES));
    expect(sg.tryWrite(A_LIST, bytes(110, 9))).toEqual({ moved: 110, entry: 2, fault: null });
    expect(sg.tryRead(A_LIST, new Uint8Array(9000))).toEqual({ moved: A_BYTES, entry: 4, fault: null });
  });

  test('any iterable will do, and is only taken as far as needed', () => {
    using machine = testMachine();
    const pci = direct(machine);
    let taken = 0;
    function* entries(): Generator<SgEntry> {
      for (;;) yield { address: BAR.A + 0x1000 * taken++, length: 0x1000 };
    }
    expect(pci.function(NODE.B).dma.sg.write(entries(), bytes(9000))).toBe(9000);
    expect(taken).toBe(3);
  });

  test('are filled and copied; a copy ends with the shorter list', () => {
    using machine = testMachine();
    const pci = direct(machine);
    const { sg } = pci.function(NODE.B).dma;
    expect(sg.set(A_LIST, 0x5a)).toBe(A_BYTES);
    expect(pci.memory.cpuRead(BAR.A + 0x8000, 5000).every((byte) => byte === 0x5a)).toBe(true);
    sg.write(A_LIST, bytes(A_BYTES));
    const target = [
      { address: BAR.B, length: 64 },
      { address: BAR.B + 0x4000, length: 3000 },
    ];
    expect(sg.tryCopy(target, A_LIST)).toEqual({ moved: 3064, entry: 2, fault: null });
    expect(pci.memory.cpuRead(BAR.B + 0x4000, 3000)).toEqual(bytes(A_BYTES).slice(64, 3064));
    expect(sg.copy([{ address: BAR.B, length: 1 << 16 }], A_LIST)).toBe(A_BYTES);
    expect(pci.memory.cpuRead(BAR.B, A_BYTES)).toEqual(bytes(A_BYTES));
  });

  test('are compared: the first difference counts over all entries', () => {
    using machine = testMachine();
    const pci = direct(machine);
    const { dma } = pci.function(NODE.B);
    dma.sg.write(A_LIST, bytes(A_BYTES));
    expect(dma.sg.compare(A_LIST, bytes(A_BYTES))).toBeNull();
    const wrong = bytes(A_BYTES);
    wrong[130] = 0;
    wrong[4000] = 0;
    expect(dma.sg.compare(A_LIST, wrong)).toEqual({ offset: 130, expected: 0, actual: bytes(A_BYTES)[130] });
    expect(dma.compare(BAR.A + 0x8000, wrong.subarray(128))).toMatchObject({ offset: 2 });
    expect(dma.compare(BAR.A + 0x8000, bytes(A_BYTES).subarray(128))).toBeNull();
  });

  test('a difference in what comes before a fault is found, one behind it is a fault', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const nic = pci.function(NODE.B);
    const page = pci.memory.allocPages(1);
    nic.iommu.map(0x10_0000, page, 4096, RW);
    pci.memory.cpuFill(page, 7, 4096);
    const same = new Uint8Array(8192).fill(7);
    expect(() => nic.dma.compare(0x10_0000, same)).toThrow(expect.objectContaining({ moved: 4096 }));
    expect(nic.dma.compare(0x10_0000, same.with(4095, 8))).toEqual({ offset: 4095, expected: 8, actual: 7 });
    const list = [
      { address: 0x10_0000, length: 4000 },
      { address: 0x10_0000 + 4000, length: 4192 },
    ];
    expect(() => nic.dma.sg.compare(list, same)).toThrow(expect.objectContaining({ moved: 4096, entry: 1 }));
    nic.iommu.unmap(0x10_0000, 4096);
    pci.memory.freePages(page, 1);
  });
});

describe('a fault in the middle of a list', () => {
  const HOLE = { address: 0x9000_0000_0000, length: 4096 };

  test('tells the entry and how much was moved; the rest of a read is ones', () => {
    using machine = testMachine();
    const pci = direct(machine);
    const { sg } = pci.function(NODE.B).dma;
    const list = [...A_LIST.slice(0, 3), HOLE, ...A_LIST.slice(3)];
    expect(sg.tryWrite(list, bytes(A_BYTES))).toMatchObject({ moved: 128, entry: 3, fault: { kind: 'aer-ur' } });
    const into = new Uint8Array(300);
    expect(sg.tryRead(list, into)).toMatchObject({ moved: 128, entry: 3 });
    expect(into.subarray(0, 128)).toEqual(bytes(128));
    expect(into.subarray(128).every((byte) => byte === 0xff)).toBe(true);
    expect(() => sg.set(list, 1)).toThrow(expect.objectContaining({ code: 'EIO', moved: 128, entry: 3 }));
    expect(() => sg.read(list, into)).toThrow(DmaFault);
  });

  test('of a copy: the entry of the list whose address it was', () => {
    using machine = testMachine();
    const pci = direct(machine);
    const { sg } = pci.function(NODE.B).dma;
    const target = [
      { address: BAR.B, length: 10 },
      { address: BAR.B + 0x100, length: 10_000 },
    ];
    expect(sg.tryCopy(target, [...A_LIST.slice(0, 1), HOLE])).toMatchObject({
      moved: 100,
      entry: 1,
      fault: { write: false, address: HOLE.address },
    });
    expect(sg.tryCopy([target[0]!, HOLE], A_LIST)).toMatchObject({ moved: 10, entry: 1, fault: { write: true } });
  });
});

test('what is written by a list is read by any other list over the same bytes', () => {
  using machine = testMachine({ memoryBytes: 4 << 20 });
  const pci = direct(machine);
  const { sg } = pci.function(NODE.B).dma;
  const target = BAR.A + (1 << 20);
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 5000 }), { minLength: 1, maxLength: 6 }),
      fc.nat(0xff),
      (cuts, seed) => {
        let address = BAR.A;
        const list = cuts.map((length) => ({ address: (address += length) - length, length }));
        const data = bytes(address - BAR.A, seed);
        const whole = [{ address: BAR.A, length: data.length }];
        expect(sg.write(list, data)).toBe(data.length);
        expect(sg.compare(whole, data)).toBeNull();
        expect(sg.copy([{ address: target, length: data.length }], list)).toBe(data.length);
        expect(Buffer.compare(pci.memory.cpuRead(target, data.length), data)).toBe(0);
      },
    ),
    { numRuns: propertyRuns(60) },
  );
});
