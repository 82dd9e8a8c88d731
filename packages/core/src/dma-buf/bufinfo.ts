import { type Machine, orUndo } from '@dmabuf-emu/shm';
import { DmaBuf, prepareDmaBufs } from './dma-buf.ts';
import { listMembers } from './internal/list.ts';
import { showName } from './internal/name.ts';
import { DmaBufStruct } from './internal/structs.ts';

/**
 * The text of debugfs `dma_buf/bufinfo`: every buffer, newest first. @kernel dma_buf_debug_show
 * @locks takes dmabuf_list_mutex and each resv
 * @throws KernelError EINTR when the task has a signal pending and has to wait for a lock
 */
export function bufinfo(machine: Machine): string {
  const { mem, buffers, listMutex, listHead } = prepareDmaBufs(machine);
  const columns = ['size', 'flags', 'mode', 'count'].map((title) => title.padEnd(8));
  const header = ['\nDma-buf Objects:', [...columns, 'exp_name', 'ino'.padEnd(8), 'name'].join('\t')];
  return interruptibly(listMutex, () => {
    const all = [...listMembers(mem, buffers, DmaBufStruct, listHead)].map((ref) => new DmaBuf(machine, ref));
    const blocks = all.map(describeBuffer);
    const bytes = all.reduce((sum, dmabuf) => sum + dmabuf.size, 0);
    return `${header.join('\n')}\n${blocks.join('')}\nTotal ${all.length} objects, ${bytes} bytes\n`;
  });
}

function describeBuffer(dmabuf: DmaBuf): string {
  const { resv, file } = dmabuf;
  return interruptibly(resv, () => {
    const cells = [
      String(dmabuf.size).padStart(8, '0'),
      hex8(file.flags),
      hex8(file.mode),
      String(dmabuf.refs).padStart(8, '0'),
      dmabuf.expName,
      String(dmabuf.ino).padStart(8, '0'),
      showName(dmabuf) ?? '<none>',
    ];
    const devices = dmabuf.attachments().map((attachment) => `\t${attachment.device.name}\n`);
    const attached = `\tAttached Devices:\n${devices.join('')}Total ${devices.length} devices attached\n\n`;
    return `${cells.join('\t')}\n${resv.describe()}${attached}`;
  });
}

function interruptibly<T>(lock: { lockInterruptible(): void; unlock(): void }, fn: () => T): T {
  lock.lockInterruptible();
  const result = orUndo(fn, () => lock.unlock());
  lock.unlock();
  return result;
}

function hex8(value: number): string {
  return value.toString(16).padStart(8, '0');
}
