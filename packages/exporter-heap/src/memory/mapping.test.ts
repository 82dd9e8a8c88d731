import { Device, DmaDirection, SgTable } from '@dmabuf-emu/core';
import {
  allocPage,
  dmaMapSgTable,
  dmaUnmapSgTable,
  PageList,
  pagePaddr,
  putPage,
  readKernel,
  Shmem,
  vmapPages,
  vunmapPages,
  writeKernel,
} from '@dmabuf-emu/exporter-heap';
import { describe, expect, it } from 'vitest';
import { errno, rig, type Rig } from '../testing/rig.fixture.ts';

const PAGE = 4096;

/** Pages that do not lie in a row. */
function scattered(r: Rig, count: number): PageList {
  const list = PageList.create(r.machine);
  const between: number[] = [];
  for (let i = 0; i < count; i++) {
    list.push(allocPage(r.machine));
    between.push(allocPage(r.machine));
  }
  for (const page of between) putPage(r.machine, page);
  return list;
}

describe('dmaMapSgTable', () => {
  it('gives a device behind an IOMMU one range of addresses, joined up to 64 KiB', () => {
    using r = rig();
    const list = scattered(r, 20);
    const runs = list.pages();
    const table = SgTable.alloc(r.machine, runs.length, 'test');
    dmaMapSgTable(table, r.nic.device, runs, DmaDirection.BIDIRECTIONAL);
    expect(table.origNents).toBe(20);
    expect(table.entries().map(({ length }) => length)).toEqual([16 * PAGE, 4 * PAGE]);
    expect(table.address(1)).toBe(table.address(0) + 16 * PAGE);
    const bytes = Uint8Array.from({ length: 20 * PAGE }, (_, i) => i * 7);
    r.nic.dma.write(table.address(0), bytes);
    for (let i = 0; i < 20; i++) {
      expect(Buffer.compare(r.pci.memory.cpuRead(list.paddr(i), PAGE), bytes.subarray(i * PAGE, (i + 1) * PAGE))).toBe(
        0,
      );
    }
    dmaUnmapSgTable(table, r.nic.device);
    expect(table.nents).toBe(0);
    table.free();
    list.free();
  });

  it('lets a device read or write only as the direction says', () => {
    using r = rig();
    const list = scattered(r, 1);
    const table = SgTable.alloc(r.machine, 1, 'test');
    dmaMapSgTable(table, r.nic.device, list.runs(), DmaDirection.TO_DEVICE);
    expect([...r.nic.dma.read(table.address(0), 1)]).toEqual([0]);
    expect(() => r.nic.dma.write(table.address(0), Uint8Array.of(1))).toThrow(errno('EIO'));
    expect(r.pci.faults.list().at(-1)?.kind).toBe('iommu-fault');
    expect([...r.pci.memory.cpuRead(list.paddr(0), 1)]).toEqual([0]);
    dmaUnmapSgTable(table, r.nic.device);
    table.free();
    list.free();
  });

  it('hands out physical addresses without an IOMMU and to devices that are not on PCI', () => {
    using r = rig({ iommu: false });
    const list = scattered(r, 3);
    const platform = Device.register(r.machine, { name: 'misc', kind: 'platform' });
    for (const device of [r.nic.device, platform]) {
      const table = SgTable.alloc(r.machine, 3, 'test');
      dmaMapSgTable(table, device, list.pages(), DmaDirection.BIDIRECTIONAL);
      expect(table.entries()).toEqual(list.pages().map(({ paddr, len }) => ({ address: paddr, length: len })));
      dmaUnmapSgTable(table, device);
      table.free();
    }
    list.free();
  });

  it('fails with EIO where a device cannot reach a page', () => {
    using r = rig({ iommu: false, dmaMask: 0x1fff });
    r.machine.diag.expect('warn', 'dma_direct_map_phys');
    const list = scattered(r, 3);
    const small = Device.register(r.machine, { name: 'misc', kind: 'platform', dmaMask: 0xfff });
    const table = SgTable.alloc(r.machine, 3, 'test');
    for (const device of [r.nic.device, small]) {
      expect(() => dmaMapSgTable(table, device, list.pages(), DmaDirection.TO_DEVICE)).toThrow(errno('EIO'));
    }
    table.free();
    list.free();
  });

  it('maps nothing when the n-th allocation fails, for every n', () => {
    using r = rig();
    const list = scattered(r, 4);
    const table = SgTable.alloc(r.machine, 4, 'test');
    for (let n = 1; ; n++) {
      const before = r.machine.faults.count;
      r.machine.faults.failNth(n);
      try {
        dmaMapSgTable(table, r.nic.device, list.pages(), DmaDirection.TO_DEVICE);
      } catch (error) {
        expect(error).toEqual(errno('ENOMEM'));
      }
      const failed = r.machine.faults.count > before;
      r.machine.faults.off();
      if (!failed) {
        dmaUnmapSgTable(table, r.nic.device);
        expect(n).toBeGreaterThan(1);
        break;
      }
      expect(r.nic.iommu.mappedPages).toBe(0);
    }
    table.free();
    list.free();
  });
});

describe('PageList', () => {
  it('joins neighbours', () => {
    using r = rig();
    const list = PageList.create(r.machine);
    for (let i = 0; i < 3; i++) list.push(allocPage(r.machine));
    const [first] = list.pages();
    expect(list.runs()).toEqual([{ paddr: first!.paddr, len: 3 * PAGE }]);
    expect(list.at(3)).toBe(0);
    expect(PageList.of(r.machine, list.ref).count).toBe(3);
    list.free();
  });

  it('may hold the same page more than once', () => {
    using r = rig();
    const shmem = Shmem.create(r.machine, PAGE);
    const list = PageList.create(r.machine);
    for (let i = 0; i < 2; i++) list.push(shmem.pin(0));
    shmem.put();
    expect(list.paddr(0)).toBe(list.paddr(1));
    expect(r.machine.verify().errors).toEqual([]);
    list.free();
    expect(r.usedPages).toBe(0);
  });
});

describe('vmapPages', () => {
  it('puts scattered pages in a row', () => {
    using r = rig();
    const list = scattered(r, 3);
    const mapping = vmapPages(r.machine, list.pages());
    expect(mapping.isIomem).toBe(false);
    writeKernel(r.machine, mapping.address + PAGE - 1, Uint8Array.of(1, 2, 3));
    expect([...readKernel(r.machine, mapping.address + PAGE - 1, 3)]).toEqual([1, 2, 3]);
    expect([...r.pci.memory.cpuRead(list.paddr(1), 2)]).toEqual([2, 3]);
    expect(() => readKernel(r.machine, mapping.address + 3 * PAGE - 1, 2)).toThrow(errno('EFAULT'));
    const other = vmapPages(r.machine, list.runs());
    expect(Math.abs(other.address - mapping.address)).toBeGreaterThan(3 * PAGE);
    vunmapPages(r.machine, mapping);
    vunmapPages(r.machine, other);
    expect(() => readKernel(r.machine, mapping.address, 1)).toThrow(errno('EFAULT'));
    r.machine.diag.expect('warn', 'vunmap');
    vunmapPages(r.machine, mapping);
    list.free();
  });

  it('reports what is never unmapped', () => {
    using r = rig();
    const page = allocPage(r.machine);
    const mapping = vmapPages(r.machine, [{ paddr: pagePaddr(r.machine, page), len: PAGE }]);
    expect(r.machine.verify().leaks).toContain('vmap: 1 pages are mapped into the kernel');
    expect(r.machine.verify().leaks).toContain(`memory: page ${page} has 1 references, but 0 holders`);
    vunmapPages(r.machine, mapping);
    putPage(r.machine, page);
  });
});
