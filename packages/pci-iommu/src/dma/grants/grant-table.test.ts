import { type Machine, setSyncHook } from '@dmabuf-emu/shm';
import { propertyRuns, testMachine } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { exportRanges } from '../../mapping/test-exporter.ts';
import type { PciOptions } from '../../system/index.ts';
import { BAR, NODE, testSystem } from '../../system/test-system.ts';
import { GrantTable } from './grant-table.ts';

const BYTES = Uint8Array.of(1, 2, 3, 4);

function setup(machine: Machine, options: Partial<PciOptions> = {}) {
  const pci = testSystem(machine, options);
  const buffer = exportRanges(pci, pci.function(NODE.A0), 0, [{ paddr: BAR.A + 0x1_0000, len: 0x4000 }]);
  return { pci, buffer, b: pci.function(NODE.B), c: pci.function(NODE.C) };
}

/** Runs `during` once, between the address check of the next access and its data. */
function inFlight(during: () => void): Disposable {
  const former = setSyncHook((label) => {
    if (label !== 'dma.move') return;
    setSyncHook(former);
    during();
  });
  return { [Symbol.dispose]: () => setSyncHook(former) };
}

describe('using a mapping', () => {
  test.each([
    ['bus addresses', NODE.B, false],
    ['direct', NODE.C, false],
    ['IOVAs', NODE.C, true],
  ])('is nothing to report: %s', (_name, node, iommu) => {
    using machine = testMachine();
    const { pci, buffer } = setup(machine, { iommu });
    const client = pci.function(node);
    buffer.mapped(client, (sgt) => {
      for (let i = 0; i < 3; i++) client.dma.copy(sgt.address(0), sgt.address(0) + 0x2000, 0x1000);
    });
    expect(pci.faults.count()).toBe(0);
    buffer.release();
  });

  test.each([
    ['bus addresses', NODE.B, false, true],
    ['direct', NODE.C, false, false],
  ])('after it was taken back is use-after-revoke and moves data: %s', (_name, node, iommu, _bus) => {
    using machine = testMachine();
    const { pci, buffer } = setup(machine, { iommu });
    const client = pci.function(node);
    const address = buffer.mapped(client, (sgt) => sgt.address(0));
    client.dma.write(address + 8, BYTES);
    expect(pci.memory.cpuRead(BAR.A + 0x1_0008, 4)).toEqual(BYTES);
    expect(pci.faults.list()).toMatchObject([
      {
        kind: 'use-after-revoke',
        requester: client.index,
        address: address + 8,
        length: 4,
        write: true,
        target: pci.function(NODE.A0).index,
        bar: 0,
        grant: { exporter: 'test-ranges', importer: 'static', ino: buffer.dmabuf.ino, dmabuf: buffer.dmabuf.ref },
      },
    ]);
    client.dma.read(address, 4);
    expect(pci.faults.count('use-after-revoke')).toBe(2);
    buffer.release();
  });

  test('of another device is use-after-revoke without a name', () => {
    using machine = testMachine();
    const { pci, buffer, b } = setup(machine, { iommu: false });
    buffer.mapped(pci.function(NODE.A1), (sgt) => b.dma.write(sgt.address(0), BYTES));
    expect(pci.faults.list()).toMatchObject([
      { kind: 'use-after-revoke', requester: b.index, reason: 'no mapping of this device' },
    ]);
    expect(pci.faults.list()[0]!.grant).toBeUndefined();
    buffer.release();
  });

  test('beyond its end reports the part beyond', () => {
    using machine = testMachine();
    const { pci, buffer, b } = setup(machine, { iommu: false });
    const next = exportRanges(pci, pci.function(NODE.A0), 0, [{ paddr: BAR.A + 0x1_4000, len: 0x1000 }]);
    next.mapped(b, () => undefined);
    buffer.mapped(b, (sgt) => b.dma.fill(sgt.address(0) + 0x3000, 1, 0x1800));
    expect(pci.faults.list()).toMatchObject([
      { kind: 'use-after-revoke', address: BAR.A + 0x1_4000, length: 0x800, grant: { ino: next.dmabuf.ino } },
    ]);
    next.release();
    buffer.release();
  });

  test("memory that was never exported, and the own BAR, are nobody's business", () => {
    using machine = testMachine();
    const { pci, buffer, b } = setup(machine, { iommu: false });
    buffer.mapped(b, () => undefined);
    b.dma.write(BAR.A, BYTES);
    pci.function(NODE.A0).dma.write(BAR.A + 0x1_0000, BYTES);
    expect(pci.faults.count()).toBe(0);
    buffer.release();
  });

  test('checks can be switched off', () => {
    using machine = testMachine();
    const { pci, buffer, b } = setup(machine, { iommu: false, checks: false });
    b.dma.write(
      buffer.mapped(b, (sgt) => sgt.address(0)),
      BYTES,
    );
    expect(pci.faults.count()).toBe(0);
    buffer.release();
  });
});

describe('revocation', () => {
  test.each([
    ['bus addresses', NODE.B, false],
    ['direct', NODE.C, false],
    ['IOVAs', NODE.C, true],
  ])('a write after the fences is write-after-fence, a read use-after-revoke: %s', (_name, node, iommu) => {
    using machine = testMachine();
    const { pci, buffer } = setup(machine, { iommu });
    const client = pci.function(node);
    buffer.mapped(client, (sgt, attachment) => {
      const address = sgt.address(0);
      expect(pci.grantInvalidate(buffer.dmabuf.ref)).toBe(1);
      client.dma.write(address, BYTES);
      expect(pci.faults.count()).toBe(0);
      expect(pci.grantRetire(buffer.dmabuf.ref)).toBe(1);
      client.dma.write(address, BYTES);
      client.dma.read(address, 4);
      const grant = { importer: 'static', attachment: attachment.ref, dmabuf: buffer.dmabuf.ref };
      expect(pci.faults.list()).toMatchObject([
        { kind: 'write-after-fence', requester: client.index, write: true, grant },
        { kind: 'use-after-revoke', requester: client.index, write: false, grant },
      ]);
    });
    buffer.release();
  });

  test('a mapping made since the revocation began is not retired with the old ones', () => {
    using machine = testMachine();
    const { pci, buffer, b } = setup(machine, { iommu: false });
    const attachment = buffer.attach(b);
    const old = buffer.map(attachment);
    pci.grantInvalidate(buffer.dmabuf.ref);
    const fresh = buffer.map(attachment);
    expect(pci.grantRetire(buffer.dmabuf.ref)).toBe(1);
    b.dma.write(fresh.address(0), BYTES);
    expect(pci.faults.count()).toBe(0);
    buffer.unmap(attachment, fresh);
    b.dma.write(old.address(0), BYTES);
    expect(pci.faults.count('write-after-fence')).toBe(1);
    buffer.unmap(attachment, old);
    buffer.release(attachment);
  });

  test('another buffer over the same memory is not touched', () => {
    using machine = testMachine();
    const { pci, buffer, b } = setup(machine, { iommu: false });
    const twin = exportRanges(pci, pci.function(NODE.A0), 0, [{ paddr: BAR.A + 0x1_0000, len: 0x4000 }]);
    twin.mapped(b, () => {
      buffer.mapped(b, (sgt) => {
        pci.grantInvalidate(buffer.dmabuf.ref);
        pci.grantRetire(buffer.dmabuf.ref);
        b.dma.write(sgt.address(0), BYTES);
      });
    });
    expect(pci.faults.count()).toBe(0);
    twin.release();
    buffer.release();
  });
});

describe('an access under way', () => {
  test('while its mapping is retired is write-after-fence', () => {
    using machine = testMachine();
    const { pci, buffer, c } = setup(machine);
    buffer.mapped(c, (sgt) => {
      using _ = inFlight(() => {
        pci.grantInvalidate(buffer.dmabuf.ref);
        pci.grantRetire(buffer.dmabuf.ref);
      });
      c.dma.write(sgt.address(0), BYTES);
    });
    expect(pci.faults.list()).toMatchObject([
      { kind: 'write-after-fence', reason: 'mapping given up and fences signalled during the access' },
    ]);
    buffer.release();
  });

  test.each([
    [NODE.B, false, 'use-after-revoke'],
    [NODE.C, true, 'stale-iotlb-hit'],
  ])('from %s (IOMMU %s) while its mapping is undone is %s', (node, iommu, kind) => {
    using machine = testMachine();
    const { pci, buffer } = setup(machine, { iommu });
    const client = pci.function(node);
    const attachment = buffer.attach(client);
    const sgt = buffer.map(attachment);
    using _ = inFlight(() => buffer.unmap(attachment, sgt));
    client.dma.write(sgt.address(0), BYTES);
    expect(pci.faults.list()).toMatchObject([{ kind, reason: expect.stringMatching(/during the access/u) }]);
    buffer.release(attachment);
  });

  test('is not blamed for changes to other mappings', () => {
    using machine = testMachine();
    const { pci, buffer, c } = setup(machine);
    const other = exportRanges(pci, pci.function(NODE.A0), 0, [{ paddr: BAR.A + 0x8_0000, len: 0x1000 }]);
    const attachment = other.attach(c);
    const sgt = other.map(attachment);
    buffer.mapped(c, (mine) => {
      using _ = inFlight(() => other.unmap(attachment, sgt));
      c.dma.write(mine.address(0), BYTES);
    });
    expect(pci.faults.count()).toBe(0);
    other.release(attachment);
    buffer.release();
  });
});

test('the table finds what a list of all grants finds', () => {
  const grant = fc.record({
    address: fc.nat(200),
    length: fc.integer({ min: 1, max: 40 }),
    requester: fc.nat(1),
    dmabuf: fc.integer({ min: 1, max: 3 }),
  });
  const step = fc.tuple(fc.nat(3), grant, fc.nat(1000));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      using machine = testMachine();
      const table = new GrantTable(machine, 2);
      const model = new Map<
        number,
        { address: number; length: number; requester: number; dmabuf: number; state: number }
      >();
      for (const [what, info, pick] of steps) {
        const any = [...model.keys()][pick % Math.max(1, model.size)];
        if (what === 0 && any !== undefined) {
          table.removeChain(any);
          model.delete(any);
        } else if (what === 1) {
          const from = pick % 2;
          table[from === 0 ? 'invalidate' : 'retire'](info.dmabuf);
          for (const entry of model.values()) if (entry.dmabuf === info.dmabuf && entry.state === from) entry.state++;
        } else {
          const ref = table.add({ ...info, attachment: 9, ino: 1, exporter: 'x', importer: 'y' });
          model.set(ref, { ...info, state: 0 });
        }
        for (const requester of [0, 1]) {
          for (const at of [info.address, pick % 240]) {
            const over = [...model.values()].filter(
              (entry) => entry.requester === requester && entry.address <= at && at < entry.address + entry.length,
            );
            const live = over.filter(({ state }) => state < 2);
            const hit = table.find(requester, at);
            expect(hit.grant !== 0).toBe(over.length > 0);
            if (over.length === 0) {
              const above = [...model.values()].filter((entry) => entry.requester === requester && entry.address > at);
              expect(hit.end).toBe(Math.min(Infinity, ...above.map(({ address }) => address)));
            } else {
              expect(hit.retired).toBe(live.length === 0);
              const best = live.length === 0 ? over : live;
              expect(hit.end).toBe(Math.max(...best.map(({ address, length }) => address + length)));
            }
          }
        }
      }
      for (const ref of model.keys()) table.removeChain(ref);
      expect(table.list()).toEqual([]);
    }),
    { numRuns: propertyRuns(60) },
  );
});

test('many ranges are remembered as exported, the last ones roughly', () => {
  using machine = testMachine();
  const { exported } = new GrantTable(machine, 1);
  for (let i = 0; i < 600; i++) exported.add(i * 0x10_000, 0x1000);
  for (let i = 0; i < 600; i++) expect(exported.overlaps(i * 0x10_000 + 0xfff, 1)).toBe(true);
  expect(exported.overlaps(0x1000, 0x1000)).toBe(false);
  expect(exported.overlaps(1000 * 0x10_000, 1)).toBe(false);
});
