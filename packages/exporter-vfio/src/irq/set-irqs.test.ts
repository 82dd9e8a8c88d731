import {
  encodeIrqSet,
  type IrqSetArgument,
  VFIO_IRQ_SET_ACTION_MASK as MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER as TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK as UNMASK,
  VFIO_IRQ_SET_DATA_BOOL as BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD as EVENTFD,
  VFIO_IRQ_SET_DATA_NONE as NONE,
  VFIO_PCI_ERR_IRQ_INDEX as ERR,
  VFIO_PCI_INTX_IRQ_INDEX as INTX,
  VFIO_PCI_MSI_IRQ_INDEX as MSI,
  VFIO_PCI_MSIX_IRQ_INDEX as MSIX,
  VFIO_PCI_REQ_IRQ_INDEX as REQ,
  VfioDevice,
} from '@dmabuf-emu/exporter-vfio';
import { FdTable } from '@dmabuf-emu/core';
import { CapId, MSI_FLAGS, PciCommand, Reg } from '@dmabuf-emu/pci-iommu';
import type { ErrnoName } from '@dmabuf-emu/shm';
import { describe, expect, test } from 'vitest';
import { irqRig } from '../testing/irq-rig.fixture.ts';
import { errno } from '../testing/rig.fixture.ts';
import { BDF } from '../testing/topology.fixture.ts';

describe('GET_IRQ_INFO', () => {
  test('tells flags and counts', () => {
    using r = irqRig();
    expect([INTX, MSI, MSIX, ERR, REQ].map((index) => r.dut.irqInfo(index))).toEqual([
      { flags: 7, count: 1 },
      { flags: 9, count: 16 },
      { flags: 1, count: 24 },
      { flags: 9, count: 1 },
      { flags: 9, count: 1 },
    ]);
  });

  test('a virtual function has no INTx, a conventional one no error interrupt', () => {
    using vf = irqRig({}, BDF.VF);
    expect(vf.dut.irqInfo(INTX).count).toBe(0);
    using legacy = irqRig({}, BDF.LEGACY);
    expect(() => legacy.dut.irqInfo(ERR)).toThrow(errno('EINVAL'));
  });

  test('EINVAL', () => {
    using r = irqRig();
    expect(() => r.dut.irqInfo(5)).toThrow(errno('EINVAL'));
    expect(() => r.dut.irqInfo(INTX, 15)).toThrow(errno('EINVAL'));
  });
});

describe('what SET_IRQS checks', () => {
  const rows: [what: string, argument: IrqSetArgument | Uint8Array, code: ErrnoName][] = [
    ['no header', new Uint8Array(19), 'EFAULT'],
    ['argsz below the header', { index: MSI, flags: NONE | TRIGGER, count: 1, argsz: 19 }, 'EINVAL'],
    ['unknown index', { index: 5, flags: NONE | TRIGGER, count: 1 }, 'EINVAL'],
    ['unknown flag', { index: MSI, flags: 64 | NONE | TRIGGER, count: 1 }, 'EINVAL'],
    ['count that wraps', { index: MSI, flags: NONE | TRIGGER, start: 1, count: 0xffff_ffff }, 'EINVAL'],
    ['start behind the last', { index: MSI, flags: NONE | TRIGGER, start: 16, count: 0 }, 'EINVAL'],
    ['too many', { index: MSI, flags: NONE | TRIGGER, start: 1, count: 16 }, 'EINVAL'],
    ['no type of data', { index: MSI, flags: TRIGGER, count: 1 }, 'EINVAL'],
    ['two types of data', { index: MSI, flags: NONE | BOOL | TRIGGER, count: 1 }, 'EINVAL'],
    ['argsz without the data', { index: MSI, flags: EVENTFD | TRIGGER, count: 2, argsz: 27 }, 'EINVAL'],
    ['memory ends in the data', { index: MSI, flags: EVENTFD | TRIGGER, count: 2, argsz: 28 }, 'EFAULT'],
    ['masking MSI', { index: MSI, flags: NONE | MASK, count: 1 }, 'ENOTTY'],
    ['unmasking MSI-X', { index: MSIX, flags: NONE | UNMASK, count: 1 }, 'ENOTTY'],
    ['masking the error interrupt', { index: ERR, flags: NONE | MASK, count: 1 }, 'ENOTTY'],
    ['no action', { index: MSI, flags: NONE, count: 1 }, 'ENOTTY'],
    ['two actions', { index: INTX, flags: NONE | MASK | TRIGGER, count: 1 }, 'ENOTTY'],
    ['masking INTx that is off', { index: INTX, flags: NONE | MASK, count: 1 }, 'EINVAL'],
    ['signalling MSI that is off', { index: MSI, flags: NONE | TRIGGER, count: 1 }, 'EINVAL'],
    ['disabling MSI that is off', { index: MSI, flags: NONE | TRIGGER, count: 0 }, 'EINVAL'],
    ['signalling without an eventfd', { index: ERR, flags: NONE | TRIGGER, count: 1 }, 'EINVAL'],
    ['no eventfd at all', { index: REQ, flags: EVENTFD | TRIGGER, count: 0 }, 'EINVAL'],
    ['a descriptor that is not open', { index: MSI, flags: EVENTFD | TRIGGER, fds: [99] }, 'EBADF'],
    ['the same for the error interrupt', { index: ERR, flags: EVENTFD | TRIGGER, fds: [99] }, 'EBADF'],
    ['the same for INTx', { index: INTX, flags: EVENTFD | TRIGGER, fds: [99] }, 'EBADF'],
  ];
  test.each(rows)('%s', (_what, argument, code) => {
    using r = irqRig();
    const bytes = argument instanceof Uint8Array ? argument : encodeIrqSet(argument);
    expect(() => r.dut.setIrqs(bytes)).toThrow(errno(code));
    expect(r.fn.interrupts.kind).toBe('none');
  });

  test('a descriptor of something else is EINVAL', () => {
    using r = irqRig();
    const buffer = r.dut.exportDmaBufFd({ region: 2, ranges: [{ offset: 0, length: 0x1000 }] });
    expect(() => r.set({ index: MSIX, flags: EVENTFD | TRIGGER, fds: [buffer] })).toThrow(errno('EINVAL'));
    expect(r.fn.interrupts.kind).toBe('none');
    FdTable.current(r.machine).close(buffer);
  });
});

describe.each([
  ['MSI', MSI],
  ['MSI-X', MSIX],
])('%s', (_name, index) => {
  test('the device’s interrupts reach the eventfds', () => {
    using r = irqRig();
    const [a, b] = [r.eventfd(), r.eventfd()];
    r.set({ index, flags: EVENTFD | TRIGGER, fds: [a, -1, b] });
    r.dut.command.busMaster = true;
    for (const vector of [0, 1, 2, 2]) expect(r.fn.interrupts.trigger(vector)).toBe(true);
    expect([r.read(a), r.read(b)]).toEqual([1n, 2n]);
    r.set({ index, flags: NONE | TRIGGER });
    expect(r.fn.interrupts.kind).toBe('none');
    r.fn.interrupts.trigger(0);
    expect(() => r.read(a)).toThrow(errno('EAGAIN'));
  });

  test('one kind at a time', () => {
    using r = irqRig();
    r.set({ index, flags: EVENTFD | TRIGGER, fds: [r.eventfd()] });
    const other = index === MSI ? MSIX : MSI;
    expect(() => r.set({ index: other, flags: EVENTFD | TRIGGER, fds: [r.eventfd()] })).toThrow(errno('EINVAL'));
    expect(() => r.set({ index: INTX, flags: EVENTFD | TRIGGER, fds: [r.eventfd()] })).toThrow(errno('EINVAL'));
  });

  test('an eventfd is exchanged, and taken away', () => {
    using r = irqRig();
    const [a, b] = [r.eventfd(), r.eventfd()];
    r.set({ index, flags: EVENTFD | TRIGGER, fds: [a, a] });
    r.set({ index, flags: EVENTFD | TRIGGER, start: 1, fds: [b] });
    r.set({ index, flags: NONE | TRIGGER, start: 0, count: 2 });
    expect([r.read(a), r.read(b)]).toEqual([1n, 1n]);
    r.set({ index, flags: EVENTFD | TRIGGER, start: 0, fds: [-1] });
    r.set({ index, flags: BOOL | TRIGGER, start: 0, bools: [true, false] });
    expect(() => r.read(a)).toThrow(errno('EAGAIN'));
    expect(() => r.read(b)).toThrow(errno('EAGAIN'));
    r.set({ index, flags: BOOL | TRIGGER, start: 0, bools: [false, true] });
    expect(r.read(b)).toBe(1n);
  });

  test('of a block that fails half-way, no vector keeps an eventfd', () => {
    using r = irqRig();
    const fd = r.eventfd();
    r.set({ index, flags: EVENTFD | TRIGGER, fds: [fd, fd, fd] });
    expect(() => r.set({ index, flags: EVENTFD | TRIGGER, fds: [fd, 99, fd] })).toThrow(errno('EBADF'));
    r.set({ index, flags: NONE | TRIGGER, count: 3 });
    expect(r.read(fd)).toBe(1n);
  });

  test('vectors can be added while it is enabled, of MSI-X only', () => {
    using r = irqRig();
    const fd = r.eventfd();
    r.set({ index, flags: EVENTFD | TRIGGER, fds: [fd] });
    r.dut.command.busMaster = true;
    const add = (): void => r.set({ index, flags: EVENTFD | TRIGGER, start: 9, fds: [fd] });
    if (index === MSI) return expect(add).toThrow(errno('EINVAL'));
    add();
    return expect([r.fn.interrupts.trigger(9), r.read(fd)]).toEqual([true, 1n]);
  });

  test('a reset leaves them enabled', () => {
    using r = irqRig();
    const fd = r.eventfd();
    r.set({ index, flags: EVENTFD | TRIGGER, fds: [fd, fd] });
    r.dut.command.busMaster = true;
    r.dut.reset();
    expect([r.fn.interrupts.trigger(1), r.read(fd)]).toEqual([true, 1n]);
  });

  test('closing the device takes them back', () => {
    using r = irqRig();
    r.set({ index, flags: EVENTFD | TRIGGER, fds: [r.eventfd()] });
    r.dut.close();
    expect(r.fn.interrupts.kind).toBe('none');
  });
});

describe('INTx', () => {
  test('masks itself, and comes again when it is unmasked while the device asserts it', () => {
    using r = irqRig();
    const fd = r.eventfd();
    r.set({ index: INTX, flags: EVENTFD | TRIGGER, fds: [fd] });
    const { source } = r.fn.interrupts;
    expect(source.assertLine()).toBe(true);
    expect([r.read(fd), r.fn.config.command & PciCommand.INTX_DISABLE]).toEqual([1n, PciCommand.INTX_DISABLE]);
    r.set({ index: INTX, flags: NONE | UNMASK, count: 1 });
    expect(r.read(fd)).toBe(1n);
    source.deassertLine();
    r.set({ index: INTX, flags: BOOL | UNMASK, bools: [true] });
    expect(() => r.read(fd)).toThrow(errno('EAGAIN'));
    r.set({ index: INTX, flags: NONE | MASK, count: 1 });
    expect(source.assertLine()).toBe(false);
    r.set({ index: INTX, flags: BOOL | UNMASK, bools: [false] });
    expect(() => r.read(fd)).toThrow(errno('EAGAIN'));
  });

  test('the user’s INTX_DISABLE masks it, and is not the hardware’s', () => {
    using r = irqRig();
    const fd = r.eventfd();
    r.set({ index: INTX, flags: EVENTFD | TRIGGER, fds: [fd] });
    r.dut.config.write(Reg.COMMAND + 1, 1, 0x04);
    expect(r.dut.config.read(Reg.COMMAND, 2) & PciCommand.INTX_DISABLE).not.toBe(0);
    expect(r.fn.interrupts.source.assertLine()).toBe(false);
    r.dut.config.write(Reg.COMMAND + 1, 1, 0);
    expect(r.read(fd)).toBe(1n);
    r.fn.interrupts.source.deassertLine();
  });

  test('is signalled, given another eventfd, and disabled', () => {
    using r = irqRig();
    const [a, b] = [r.eventfd(), r.eventfd()];
    r.set({ index: INTX, flags: EVENTFD | TRIGGER, fds: [a] });
    r.set({ index: INTX, flags: EVENTFD | TRIGGER, fds: [b] });
    r.set({ index: INTX, flags: NONE | TRIGGER, count: 1 });
    r.set({ index: INTX, flags: BOOL | TRIGGER, bools: [false] });
    expect(r.read(b)).toBe(1n);
    expect(() => r.read(a)).toThrow(errno('EAGAIN'));
    r.set({ index: INTX, flags: NONE | TRIGGER });
    expect(r.fn.interrupts.kind).toBe('none');
    expect(() => r.set({ index: INTX, flags: NONE | TRIGGER, count: 1 })).toThrow(errno('EINVAL'));
  });
});

describe('errors and requests', () => {
  test('an uncorrectable error tells the eventfd', () => {
    using r = irqRig();
    const fd = r.eventfd();
    r.set({ index: ERR, flags: EVENTFD | TRIGGER, fds: [fd] });
    r.set({ index: ERR, flags: NONE | TRIGGER, count: 1 });
    expect(r.read(fd)).toBe(1n);
    r.pci.reportError(r.fn.topology, 0x0010_0000);
    expect(r.read(fd)).toBe(1n);
    r.set({ index: ERR, flags: EVENTFD | TRIGGER, fds: [-1] });
    r.pci.reportError(r.fn.topology, 0x0010_0000);
    expect(() => r.read(fd)).toThrow(errno('EAGAIN'));
  });

  test('a driver that is to be unbound asks for the device', () => {
    using r = irqRig();
    const fd = r.eventfd();
    r.set({ index: REQ, flags: EVENTFD | TRIGGER, fds: [fd] });
    r.set({ index: REQ, flags: BOOL | TRIGGER, bools: [true] });
    expect(r.read(fd)).toBe(1n);
    expect(VfioDevice.unbind(r.machine, BDF.DUT, 0)).toBe(false);
    expect(r.read(fd)).toBe(1n);
    r.dut.close();
    expect(VfioDevice.unbind(r.machine, BDF.DUT, 1000)).toBe(true);
  });

  test('their eventfds go with the device', () => {
    using r = irqRig();
    r.set({ index: ERR, flags: EVENTFD | TRIGGER, fds: [r.eventfd()] });
    r.set({ index: REQ, flags: EVENTFD | TRIGGER, fds: [r.eventfd()] });
    r.set({ index: REQ, flags: NONE | TRIGGER });
    expect(() => r.set({ index: REQ, flags: NONE | TRIGGER, count: 1 })).toThrow(errno('EINVAL'));
  });
});

describe('the user’s MSI capability', () => {
  test('is a copy: messages do not reach the hardware', () => {
    using r = irqRig();
    const at = r.fn.config.findCapability(CapId.MSI);
    r.dut.config.write(at + 4, 4, 0xfee0_1000);
    expect([r.dut.config.read(at + 4, 4), r.fn.config.read(at + 4, 4)]).toEqual([0xfee0_1000, 0]);
  });

  test('cannot enable MSI, nor more vectors than the ioctl did', () => {
    using r = irqRig();
    const at = r.fn.config.findCapability(CapId.MSI) + MSI_FLAGS;
    r.dut.config.write(at, 2, 0x01f9);
    expect([r.dut.config.read(at, 2), r.fn.config.read(at, 2)]).toEqual([0x0188, 0x0188]);
    const fd = r.eventfd();
    r.set({ index: MSI, flags: EVENTFD | TRIGGER, fds: [fd, fd, fd] });
    r.dut.config.write(at, 2, 0x01c9);
    expect(r.dut.config.read(at, 2) & 0x71).toBe(0x21);
    expect(r.fn.config.read(at, 2) & 0x71).toBe(0x21);
  });
});
