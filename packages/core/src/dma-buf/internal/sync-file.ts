import { KernelError, orUndo } from '@dmabuf-emu/shm';
import { Fence } from '../../fence/fence.ts';
import { fenceUnwrap } from '../../fence/unwrap.ts';
import { ResvUsage, resvUsageRw } from '../../resv/usage.ts';
import { installNew } from '../../sync-file/internal/install.ts';
import { SyncFile } from '../../sync-file/sync-file.ts';
import type { DmaBuf } from '../dma-buf.ts';
import { SyncFlags } from '../sync-flags.ts';

/** @kernel dma_buf_export_sync_file */
export function exportSyncFile(dmabuf: DmaBuf, flags: number, copyOut?: (fd: number) => void): number {
  const { machine } = dmabuf;
  const writes = (checkFlags('DMA_BUF_IOCTL_EXPORT_SYNC_FILE', flags) & SyncFlags.WRITE) !== 0;
  const make = (): SyncFile => {
    const fence = dmabuf.resv.getSingleton(resvUsageRw(writes)) ?? Fence.stub(machine);
    const made = orUndo(
      () => SyncFile.create(fence),
      () => fence.put(),
    );
    fence.put();
    return made;
  };
  return installNew(machine, make, copyOut);
}

/** @kernel dma_buf_import_sync_file */
export function importSyncFile(dmabuf: DmaBuf, fd: number, flags: number): void {
  const { machine, resv } = dmabuf;
  const writes = (checkFlags('DMA_BUF_IOCTL_IMPORT_SYNC_FILE', flags) & SyncFlags.WRITE) !== 0;
  const fence = SyncFile.fenceOf(machine, fd);
  if (fence === undefined) {
    throw new KernelError('EINVAL', 'DMA_BUF_IOCTL_IMPORT_SYNC_FILE', `descriptor ${fd} is no sync_file`);
  }
  const usage = writes ? ResvUsage.WRITE : ResvUsage.READ;
  orUndo(
    () => {
      const count = [...fenceUnwrap(machine, fence.ref)].length;
      if (count === 0) return;
      resv.with(() => {
        resv.reserveFences(count);
        for (const part of fenceUnwrap(machine, fence.ref)) resv.addFence(part, usage);
      });
    },
    () => fence.put(),
  );
  fence.put();
}

function checkFlags(call: string, flags: number): number {
  if ((flags & ~SyncFlags.RW) === 0 && (flags & SyncFlags.RW) !== 0) return flags;
  throw new KernelError('EINVAL', call, `flags must be READ, WRITE or both, got ${flags}`);
}
