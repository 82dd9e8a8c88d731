import { DmaBufTraceText, FdTable, OpenFlags } from '@dmabuf-emu/core';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { device, exported, plainImporter, recorder } from './recorder.fixture.ts';

describe('trace events of the kernel (core §1.16)', () => {
  it('have its names, fields and text', () => {
    using machine = testMachine({ traceEvents: 64, traceStamps: 'every' });
    const area = { fault: () => machine.memoryBase };
    const ops = recorder({ mmap: (_, vma) => void (vma.ops = area) });
    const dmabuf = exported(machine, ops, { size: 2 ** 33, expName: 'heap', flags: OpenFlags.RDWR });
    const fd = dmabuf.get().fd();
    dmabuf.mmap({ offset: 0, length: 4096 }).unmap();
    dmabuf.detach(dmabuf.attachDynamic(device(machine, 'nic0'), plainImporter));
    dmabuf.detach(dmabuf.attach(device(machine, 'nic1')));
    FdTable.current(machine).close(fd);
    dmabuf.put();
    const text = new DmaBufTraceText(machine);
    const lines = machine.trace
      .read()
      .map((event) => text.line(event))
      .filter((line) => line !== undefined);
    const buffer = 'exp_name=heap size=8589934592 ino=1';
    const attached = /attachment:[0-9a-f]{16} /;
    expect(lines.map((line) => line.replace(attached, 'attachment:# '))).toEqual([
      `dma_buf_export: ${buffer}`,
      `dma_buf_fd: ${buffer} fd=0`,
      `dma_buf_mmap_internal: ${buffer}`,
      `dma_buf_dynamic_attach: ${buffer} attachment:# is_dynamic=1 dev_name=nic0`,
      `dma_buf_detach: ${buffer} attachment:# is_dynamic=1 dev_name=nic0`,
      `dma_buf_dynamic_attach: ${buffer} attachment:# is_dynamic=0 dev_name=nic1`,
      `dma_buf_detach: ${buffer} attachment:# is_dynamic=0 dev_name=nic1`,
      `dma_buf_put: ${buffer}`,
    ]);
    expect(text.line({ task: 1, seq: 0, timeMs: 0, name: 'dma_buf_release', args: [1, 0, 0, 0] })).toBeUndefined();
    expect(
      new DmaBufTraceText(machine).line({ task: 1, seq: 0, timeMs: 0, name: 'dma_buf_get', args: [7, 3, 0, 0] }),
    ).toBe('dma_buf_get: exp_name=? size=? ino=7 fd=3');
  });
});
