import { bufinfo, DmaBuf, FdTable, OpenFlags, ResvUsage, Seek } from '@dmabuf-emu/core';
import { Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { pendingFence } from '#dist/dma-buf/fences.test-worker.js';
import { device, exported, recorder } from './recorder.fixture.ts';

const kernelError = (code: string) => expect.objectContaining({ name: 'KernelError', code });

describe('names, fdinfo and links (core §1.5)', () => {
  it('has no name until one is set, and the empty name is one', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder(), { size: 4096, flags: OpenFlags.RDWR, expName: 'system' });
    const table = FdTable.current(machine);
    const fd = dmabuf.fd(OpenFlags.CLOEXEC);
    const lines = ['pos:\t0', 'flags:\t02000002', 'size:\t4096', 'count:\t1', 'exp_name:\tsystem'];
    expect(table.link(fd)).toBe('/dmabuf:');
    expect(table.fdinfo(fd)).toEqual(lines);
    dmabuf.setName('');
    expect(dmabuf.name).toBe('');
    expect(table.fdinfo(fd)).toEqual([...lines, 'name:\t']);
    dmabuf.setName('frame');
    expect(table.fdinfo(fd)).toEqual([...lines, 'name:\tframe']);
    expect(table.link(fd)).toBe('/dmabuf:frame');
    table.close(fd);
  });

  it('counts the references without its own in fdinfo', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const table = FdTable.current(machine);
    const fd = dmabuf.get().fd();
    const copy = table.dup(fd);
    expect(table.fdinfo(fd)).toContain('count:\t3');
    table.close(fd);
    table.close(copy);
    dmabuf.put();
  });

  it('takes names of up to 31 bytes', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    dmabuf.setName('x'.repeat(31));
    expect(() => dmabuf.setName('y'.repeat(32))).toThrow(kernelError('EINVAL'));
    expect(() => dmabuf.setName('é'.repeat(16))).toThrow(/at most 31 bytes, got 32/);
    expect(dmabuf.name).toBe('x'.repeat(31));
    dmabuf.setName('é');
    expect(dmabuf.name).toBe('é');
    dmabuf.put();
  });
});

describe('lseek (core §1.6.3)', () => {
  it('answers with offset 0 from start and end only, whence first', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder(), { size: 12345 });
    const { file } = dmabuf;
    expect(file.llseek(0, Seek.SET)).toBe(0);
    expect(file.llseek(0, Seek.END)).toBe(12345);
    for (const whence of [Seek.CUR, Seek.DATA, Seek.HOLE, 99]) {
      expect(() => file.llseek(1, whence)).toThrow(/whence must be/);
    }
    expect(() => file.llseek(1, Seek.SET)).toThrow(/offset must be 0, got 1/);
    expect(() => file.llseek(-1, Seek.END)).toThrow(kernelError('EINVAL'));
    dmabuf.put();
  });
});

describe('bufinfo (core §1.15)', () => {
  it('shows an empty machine', () => {
    using machine = testMachine();
    expect(bufinfo(machine)).toBe(
      '\nDma-buf Objects:\nsize    \tflags   \tmode    \tcount   \texp_name\tino     \tname\n\nTotal 0 objects, 0 bytes\n',
    );
  });

  it('shows buffers newest first with their attached devices', () => {
    using machine = testMachine();
    const recording = recorder();
    const first = exported(machine, recording, { size: 4096, flags: OpenFlags.RDWR, expName: 'vfio_pci_core' });
    first.setName('bar0');
    const second = exported(machine, recording, { size: 16384, expName: 'iommufd' });
    const [a, b] = [second.attach(device(machine, 'iommu')), second.attach(device(machine, 'vgem'))];
    second.get();
    expect(bufinfo(machine)).toBe(
      [
        '',
        'Dma-buf Objects:',
        'size    \tflags   \tmode    \tcount   \texp_name\tino     \tname',
        '00016384\t00000000\t02080005\t00000002\tiommufd\t00000002\t<none>',
        '\tAttached Devices:',
        '\tvgem',
        '\tiommu',
        'Total 2 devices attached',
        '',
        '00004096\t00000002\t02080007\t00000001\tvfio_pci_core\t00000001\tbar0',
        '\tAttached Devices:',
        'Total 0 devices attached',
        '',
        '',
        'Total 2 objects, 20480 bytes',
        '',
      ].join('\n'),
    );
    second.detach(a);
    second.detach(b);
    second.put();
    second.put();
    first.put();
  });

  it('shows the fences of a buffer, but those of no implicit synchronisation', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    using write = pendingFence(machine);
    using other = pendingFence(machine);
    dmabuf.resv.with(() => {
      dmabuf.resv.reserveFences(2);
      dmabuf.resv.addFence(write.fence, ResvUsage.WRITE);
      dmabuf.resv.addFence(other.fence, ResvUsage.BOOKKEEP);
    });
    const text = bufinfo(machine);
    expect(text).toContain(
      `\t<none>\n\twrite fence:${write.fence.context}:1 timeline test unsignalled\n\tAttached Devices:\n`,
    );
    dmabuf.put();
  });

  it('ends with EINTR while somebody else holds resv, and leaves the list of buffers free', () => {
    using machine = testMachine();
    const dmabuf = exported(machine, recorder());
    const other = Machine.join(machine.handle, { name: 'other' });
    const theirs = DmaBuf.of(other, dmabuf.ref).resv;
    theirs.lock();
    machine.interrupt(machine.tid);
    expect(() => bufinfo(machine)).toThrow(kernelError('EINTR'));
    machine.clearSignal();
    theirs.unlock();
    other.leave();
    expect(bufinfo(machine)).toContain('Total 1 objects');
    dmabuf.put();
  });
});
