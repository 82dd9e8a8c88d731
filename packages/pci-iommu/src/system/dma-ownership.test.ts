import { isKernelError, Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { PciSystem } from './pci-system.ts';
import { NODE, testSystem } from './test-system.ts';

const VFIO = 1;
const IOMMUFD = 2;

function code(act: () => void): string {
  try {
    act();
  } catch (error) {
    return isKernelError(error) ? error.code : String(error);
  }
  return 'none';
}

function setup(machine: Machine) {
  const pci = testSystem(machine);
  const [a0, a1, b] = [NODE.A0, NODE.A1, NODE.B].map((bdf) => pci.function(bdf));
  return { pci, owners: pci.owners, a0: a0!, a1: a1!, b: b! };
}

describe('who has the DMA of a group (drivers §3.3)', () => {
  test('functions without ACS share a group, other devices do not', () => {
    using machine = testMachine();
    const { a0, a1, b } = setup(machine);
    expect(a0.iommuGroup).toBe(a1.iommuGroup);
    expect(a0.iommuGroup).not.toBe(b.iommuGroup);
  });

  test('a driver of one function keeps users away from the other, until it unbinds', () => {
    using machine = testMachine();
    const { owners, a0, a1, b } = setup(machine);
    owners.useDefaultDomain(a0.topology);
    expect(owners.userCount(a1.topology)).toBe(1);
    expect(code(() => owners.claimGroup(a1.topology, VFIO))).toBe('EPERM');
    expect(code(() => owners.claimDevice(a1.topology, VFIO))).toBe('EPERM');
    expect(code(() => owners.claimGroup(b.topology, VFIO))).toBe('none');
    owners.unuseDefaultDomain(a0.topology);
    expect(code(() => owners.claimGroup(a1.topology, VFIO))).toBe('none');
    expect(owners.ownerOf(a0.topology)).toBe(VFIO);
    for (const fn of [a1, b]) owners.releaseGroup(fn.topology);
    expect(owners.ownerOf(a0.topology)).toBe(0);
  });

  test('functions that are attached when they are first used can be claimed before', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { deferredAttach: true });
    const fn = pci.function(NODE.B);
    expect(fn.isAttachDeferred).toBe(true);
    pci.owners.claimDevice(fn.topology, VFIO);
    expect(fn.iommu.type).toBe('blocked');
    pci.owners.releaseDevice(fn.topology);
    expect(fn.iommu.type).toBe('dma');
  });

  test('a claim blocks the DMA of the whole group, giving it back lets drivers in again', () => {
    using machine = testMachine();
    const { owners, a0, a1, b } = setup(machine);
    owners.claimGroup(a0.topology, VFIO);
    expect([a0, a1, b].map((fn) => fn.iommu.type === 'blocked')).toEqual([true, true, false]);
    expect(code(() => owners.useDefaultDomain(a1.topology))).toBe('EBUSY');
    expect(code(() => owners.claimGroup(a1.topology, VFIO))).toBe('EPERM');
    owners.releaseGroup(a1.topology);
    expect([a0, a1].map((fn) => fn.iommu.type === 'blocked')).toEqual([false, false]);
    expect(code(() => owners.useDefaultDomain(a1.topology))).toBe('none');
    owners.unuseDefaultDomain(a1.topology);
  });

  test('one owner may claim device by device; the last release gives the group back', () => {
    using machine = testMachine();
    const { owners, a0, a1 } = setup(machine);
    owners.claimDevice(a0.topology, IOMMUFD);
    owners.claimDevice(a1.topology, IOMMUFD);
    expect(code(() => owners.claimDevice(a1.topology, VFIO))).toBe('EPERM');
    owners.releaseDevice(a0.topology);
    expect([owners.userCount(a0.topology), a0.iommu.type]).toEqual([1, 'blocked']);
    owners.releaseDevice(a1.topology);
    expect([owners.userCount(a0.topology), owners.ownerOf(a0.topology)]).toEqual([0, 0]);
    expect(a0.iommu.type).not.toBe('blocked');
  });

  test('a group that is attached elsewhere is busy', () => {
    using machine = testMachine();
    const { pci, owners, a0, a1 } = setup(machine);
    const domain = pci.createDomain();
    owners.useDefaultDomain(a0.topology);
    a1.attachDomain(domain);
    expect(code(() => owners.useDefaultDomain(a0.topology))).toBe('EBUSY');
    owners.unuseDefaultDomain(a0.topology);
    expect(code(() => owners.claimGroup(a0.topology, VFIO))).toBe('EBUSY');
    a1.attachDomain(null);
    domain.destroy();
    expect(code(() => owners.claimGroup(a0.topology, VFIO))).toBe('none');
    owners.releaseGroup(a0.topology);
  });

  test('without an IOMMU drivers bind freely and nobody can claim', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const { topology } = pci.function(NODE.A0);
    expect(code(() => pci.owners.useDefaultDomain(topology))).toBe('none');
    expect(code(() => pci.owners.unuseDefaultDomain(topology))).toBe('none');
    expect(code(() => pci.owners.claimDevice(topology, VFIO))).toBe('ENODEV');
    expect([pci.owners.userCount(topology), pci.owners.ownerOf(topology)]).toEqual([0, 0]);
  });

  test('misuse is reported', () => {
    using machine = testMachine();
    const { owners, a0 } = setup(machine);
    for (let i = 0; i < 3; i++) machine.diag.expect('warn', 'dma-ownership');
    expect(code(() => owners.claimGroup(a0.topology, 0))).toBe('EINVAL');
    owners.releaseGroup(a0.topology);
    owners.unuseDefaultDomain(a0.topology);
    expect(machine.diag.count('warn')).toBe(3);
  });

  test('all threads see one owner; verify finds who did not give a group back', () => {
    using machine = testMachine();
    const { owners, a0 } = setup(machine);
    using other = Machine.join(machine.handle);
    const twin = PciSystem.of(other);
    twin.owners.claimGroup(twin.function(NODE.A1).topology, VFIO);
    expect(code(() => owners.claimGroup(a0.topology, IOMMUFD))).toBe('EPERM');
    expect(machine.verify().leaks).toEqual([
      expect.stringMatching(/^iommu-group: IOMMU group \d+ was not given back/u),
    ]);
    owners.releaseGroup(a0.topology);
  });
});
