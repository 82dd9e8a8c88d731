import { allDevices, Device } from '@dmabuf-emu/core';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';

describe('Device', () => {
  it('is found by name and by reference', () => {
    using machine = testMachine();
    const nic = Device.register(machine, { name: '0000:41:00.0', kind: 'pci', busIndex: 7, dmaMask: 2 ** 40 - 1 });
    const vgem = Device.register(machine, { name: 'vgem', kind: 'platform' });
    expect(Device.byName(machine, '0000:41:00.0')?.ref).toBe(nic.ref);
    expect(Device.byName(machine, 'nobody')).toBeUndefined();
    expect(Device.byRef(machine, nic.ref)).toMatchObject({
      name: '0000:41:00.0',
      kind: 'pci',
      busIndex: 7,
      dmaMask: 2 ** 40 - 1,
    });
    expect(vgem).toMatchObject({ kind: 'platform', busIndex: -1, dmaMask: 2 ** 64 });
    expect([...allDevices(machine)].map((d) => d.name)).toEqual(['vgem', '0000:41:00.0']);
    expect(machine.string(vgem.nameId)).toBe('vgem');
  });

  it('has DMA parameters that its driver sets, for every thread', () => {
    using machine = testMachine();
    const nic = Device.register(machine, { name: 'nic', kind: 'pci', dmaMask: 2 ** 32 - 1 });
    expect(nic).toMatchObject({ coherentDmaMask: 2 ** 32 - 1, maxSegmentSize: 65_536 });
    nic.dmaMask = 2 ** 48 - 1;
    nic.coherentDmaMask = 2 ** 40 - 1;
    nic.maxSegmentSize = 2 ** 31;
    expect(Device.byRef(machine, nic.ref)).toMatchObject({
      dmaMask: 2 ** 48 - 1,
      coherentDmaMask: 2 ** 40 - 1,
      maxSegmentSize: 2 ** 31,
    });
  });

  it('has a name of its own', () => {
    using machine = testMachine();
    Device.register(machine, { name: 'vgem', kind: 'platform' });
    expect(() => Device.register(machine, { name: 'vgem', kind: 'pci' })).toThrow(/EEXIST.*'vgem'/);
    expect([...allDevices(machine)]).toHaveLength(1);
  });
});
