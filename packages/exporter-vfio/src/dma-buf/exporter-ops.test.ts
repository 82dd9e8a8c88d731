import { DmaDirection } from '@dmabuf-emu/core';
import { liveMappings } from '@dmabuf-emu/exporter-vfio';
import { Device } from '@dmabuf-emu/core';
import { physInterconnect } from '@dmabuf-emu/pci-iommu';
import { describe, expect, test } from 'vitest';
import { irrevocable, OnInvalidate, pageBound, revocable, Session } from '#dist/testing/importer.test-worker.js';
import { errno, rig } from '../testing/rig.fixture.ts';
import { BAR2 } from '../testing/topology.fixture.ts';

// drivers §5.3, §5.7
describe('attach', () => {
  test('refuses importers that cannot do peer-to-peer, or be told', () => {
    using r = rig();
    const dmabuf = r.buffer();
    expect(() => dmabuf.attach(r.near)).toThrow(errno('EOPNOTSUPP'));
    expect(() => Session.attach(dmabuf, r.near, OnInvalidate.UNMAP, pageBound)).toThrow(errno('EOPNOTSUPP'));
    expect(() => Session.attach(dmabuf, r.near, OnInvalidate.UNMAP, irrevocable)).toThrow(errno('EOPNOTSUPP'));
    expect(dmabuf.attachments()).toEqual([]);
    dmabuf.put();
  });

  test('first peer-to-peer, then revoked, then revocable', () => {
    using r = rig();
    r.dut.command.memory = false;
    const dmabuf = r.buffer();
    expect(() => Session.attach(dmabuf, r.near, OnInvalidate.UNMAP, pageBound)).toThrow(errno('EOPNOTSUPP'));
    expect(() => Session.attach(dmabuf, r.near, OnInvalidate.UNMAP, irrevocable)).toThrow(errno('ENODEV'));
    expect(() => Session.attach(dmabuf, r.near)).toThrow(errno('ENODEV'));
    dmabuf.put();
  });

  test('takes a device that is not on PCI, whose map then fails', () => {
    using r = rig();
    const dmabuf = r.buffer();
    const platform = Device.register(r.machine, { name: 'iommufd', kind: 'platform' });
    const session = Session.attach(dmabuf, platform);
    expect(() => session.map()).toThrow(errno('EINVAL'));
    expect(liveMappings(dmabuf)).toBe(0);
    session.end();
    dmabuf.put();
  });
});

describe('map', () => {
  test('below a switch an importer gets bus addresses', () => {
    using r = rig();
    const dmabuf = r.dut.exportDmaBuf({
      region: 2,
      ranges: [
        { offset: 0x8000, length: 0x1000 },
        { offset: 0, length: 0x2000 },
      ],
    });
    const session = Session.attach(dmabuf, r.near);
    expect(session.map().entries()).toEqual([
      { address: BAR2.start + 0x8000, length: 0x1000 },
      { address: BAR2.start, length: 0x2000 },
    ]);
    expect(liveMappings(dmabuf)).toBe(1);
    session.end();
    expect(liveMappings(dmabuf)).toBe(0);
    dmabuf.put();
  });

  test('through the host bridge it gets addresses of its own', () => {
    using r = rig();
    const dmabuf = r.buffer();
    const session = Session.attach(dmabuf, r.far);
    const [entry] = session.map().entries();
    expect(entry!.length).toBe(0x4000);
    const { iommu } = r.pci.functionOfDevice(r.far)!;
    expect(iommu.iovaToPhys(entry!.address)).toBe(BAR2.start);
    session.end();
    dmabuf.put();
  });

  test('what a device writes is in the BAR', () => {
    using r = rig();
    const dmabuf = r.buffer({ offset: 0x10000 });
    const bytes = Uint8Array.of(1, 2, 3, 4);
    for (const device of [r.near, r.far]) {
      const session = Session.attach(dmabuf, device);
      const { address } = session.map().entries()[0]!;
      r.pci.functionOfDevice(device)!.dma.write(address + 16, bytes);
      expect(r.dut.readBar(2, 0x10010, 4)).toEqual(bytes);
      r.dut.writeBar(2, 0x10010, new Uint8Array(4));
      session.end();
    }
    dmabuf.put();
    expect(r.pci.faults.list()).toEqual([]);
  });

  test('an attachment may map any number of times', () => {
    using r = rig();
    const dmabuf = r.buffer();
    const attachment = dmabuf.attachDynamic(r.near, revocable, 0);
    const tables = Array.from({ length: 3 }, () => attachment.mapUnlocked(DmaDirection.TO_DEVICE));
    expect(liveMappings(dmabuf)).toBe(3);
    for (const table of tables) attachment.unmapUnlocked(table, DmaDirection.TO_DEVICE);
    dmabuf.detach(attachment);
    dmabuf.put();
  });

  test('pin is a no-op: the memory cannot move', () => {
    using r = rig();
    const dmabuf = r.buffer();
    expect(dmabuf.isDynamic).toBe(false);
    const session = Session.attach(dmabuf, r.near);
    session.mapPinned();
    session.end();
    dmabuf.put();
  });

  test('there is no CPU mapping', () => {
    using r = rig();
    const dmabuf = r.buffer();
    expect(() => dmabuf.vmapUnlocked()).toThrow(errno('EINVAL'));
    dmabuf.put();
  });
});

// drivers §5.8
describe('the private interconnect of iommufd', () => {
  test('tells the whole buffer as one range, and counts nothing', () => {
    using r = rig();
    const dmabuf = r.buffer({ offset: 0x3000, length: 0x2000 });
    const session = Session.attach(dmabuf, r.near);
    const locate = physInterconnect(r.machine, dmabuf)!;
    expect(dmabuf.resv.with(() => locate(session.attachment))).toEqual({ paddr: BAR2.start + 0x3000, len: 0x2000 });
    expect(liveMappings(dmabuf)).toBe(0);
    r.dut.command.memory = false;
    expect(() => dmabuf.resv.with(() => locate(session.attachment))).toThrow(errno('ENODEV'));
    session.end();
    dmabuf.put();
  });

  test('several ranges are not for it, and revoked comes first', () => {
    using r = rig();
    const ranges = [0, 0x2000].map((offset) => ({ offset, length: 0x1000 }));
    const dmabuf = r.dut.exportDmaBuf({ region: 2, ranges });
    const session = Session.attach(dmabuf, r.near);
    const locate = physInterconnect(r.machine, dmabuf)!;
    expect(() => dmabuf.resv.with(() => locate(session.attachment))).toThrow(errno('EOPNOTSUPP'));
    r.dut.command.memory = false;
    expect(() => dmabuf.resv.with(() => locate(session.attachment))).toThrow(errno('ENODEV'));
    session.end();
    dmabuf.put();
  });
});
