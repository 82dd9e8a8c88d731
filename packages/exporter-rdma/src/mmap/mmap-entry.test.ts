import { MmapCommand, pageOffsetOf, RdmaDevice } from '@dmabuf-emu/exporter-rdma';
import { describe, expect, test } from 'vitest';
import { errno, rig } from '../testing/rig.fixture.ts';
import { BAR, BDF } from '../testing/topology.fixture.ts';

// drivers §6.6, §6.7
describe('entries', () => {
  test('device memory is whole pages of the BAR, one behind the other', () => {
    using r = rig();
    const [a, b, c] = [1, 0x2001, 0x1000].map((bytes) => r.nic.allocDm(bytes));
    expect([a!, b!, c!].map(({ paddr, length }) => [paddr - BAR.start, length])).toEqual([
      [0, 0x1000],
      [0x1000, 0x3000],
      [0x4000, 0x1000],
    ]);
    expect(c!.pgoff).toBe(pageOffsetOf(MmapCommand.DEVICE_MEM * 0x10000 + 4));
  });

  test('what was freed is used again', () => {
    using r = rig();
    const a = r.nic.allocDm(0x2000);
    const b = r.nic.allocDm(0x1000);
    expect(r.nic.removeEntry(a)).toBe(true);
    expect(r.nic.removeEntry(a)).toBe(false);
    expect(r.nic.allocDm(0x3000).paddr).toBe(BAR.start + 0x3000);
    expect(r.nic.allocDm(0x2000).paddr).toBe(BAR.start);
    expect(b.alive).toBe(true);
  });

  test('doorbells have offsets of their own', () => {
    using r = rig();
    const uar = r.nic.allocUar();
    const dm = r.nic.allocDm(0x1000);
    expect(uar.pgoff).toBe(pageOffsetOf(MmapCommand.UAR * 0x10000));
    expect(dm.paddr).toBe(uar.paddr + 0x1000);
  });

  test('an entry is found by the offset of its first page', () => {
    using r = rig();
    const entry = r.nic.allocDm(0x2000);
    const { pgoff } = entry;
    expect(r.nic.mmapEntry(pgoff).ref).toBe(entry.ref);
    expect(r.nic.mmapEntry(BigInt(entry.pgoff)).ref).toBe(entry.ref);
    expect(() => r.nic.mmapEntry(entry.pgoff + 0x1000)).toThrow(errno('EINVAL'));
    expect(() => r.nic.mmapEntry(0)).toThrow(errno('EINVAL'));
    expect(() => r.nic.mmapEntry(-1)).toThrow('an offset is a whole number');
    r.nic.removeEntry(entry);
    expect(() => r.nic.mmapEntry(pgoff)).toThrow(errno('EINVAL'));
  });

  test('no more than the BAR has', () => {
    using r = rig();
    expect(() => r.nic.allocDm(BAR.size + 1)).toThrow(errno('ENOMEM'));
    const all = r.nic.allocDm(BAR.size);
    expect(() => r.nic.allocDm(1)).toThrow(errno('ENOMEM'));
    r.nic.removeEntry(all);
    expect(() => r.nic.allocDm(0)).toThrow(errno('EINVAL'));
  });

  test('a device without memory BARs has none', () => {
    using r = rig({ bdf: BDF.PORTS });
    expect(() => r.nic.allocDm(1)).toThrow(errno('EINVAL'));
  });
});

test('the program reads and writes through its mapping, until the entry goes', () => {
  using r = rig();
  const entry = r.nic.allocDm(0x2000);
  const bytes = Uint8Array.of(1, 2, 3);
  r.nic.writeDm(entry, 0xffe, bytes);
  expect(r.nic.readDm(entry, 0xffe, 3)).toEqual(bytes);
  expect(r.pci.memory.cpuRead(entry.paddr + 0xffe, 3)).toEqual(bytes);
  expect(() => r.nic.readDm(entry, 0x1fff, 2)).toThrow(errno('EFAULT'));
  r.nic.removeEntry(entry);
  expect(() => r.nic.readDm(entry, 0, 1)).toThrow(errno('EFAULT'));
});

describe('the device', () => {
  test('is open once, for endpoints only', () => {
    using r = rig();
    expect(() => RdmaDevice.open(r.machine, BDF.NIC)).toThrow(errno('EBUSY'));
    expect(() => RdmaDevice.open(r.machine, BDF.ROOT_PORT)).toThrow(errno('EINVAL'));
    expect(() => RdmaDevice.of(r.machine, BDF.GPU)).toThrow(errno('ENODEV'));
    expect(RdmaDevice.of(r.machine, BDF.NIC).isOpen).toBe(true);
  });

  test('after it was closed, all that hold it get EBADF; it can be opened again', () => {
    using r = rig();
    const other = RdmaDevice.of(r.machine, BDF.NIC);
    r.nic.close();
    expect(() => other.allocDm(1)).toThrow(errno('EBADF'));
    expect(() => other.close()).toThrow(errno('EBADF'));
    const again = RdmaDevice.open(r.machine, BDF.NIC);
    expect(() => other.exportDmaBuf(0)).toThrow(errno('EBADF'));
    again.close();
  });

  test('after its driver was removed they get EIO', () => {
    using r = rig();
    r.nic.removeDriver();
    expect(() => r.nic.allocDm(1)).toThrow(errno('EIO'));
    expect(() => r.nic.exportDmaBuf(0)).toThrow(errno('EIO'));
    expect(() => r.nic.close()).toThrow(errno('EIO'));
    RdmaDevice.open(r.machine, BDF.NIC).close();
  });
});
