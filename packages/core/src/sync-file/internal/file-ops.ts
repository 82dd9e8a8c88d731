import type { Machine } from '@dmabuf-emu/shm';
import type { File } from '../../fd/file.ts';
import { builtinFileOps } from '../../fd/file-ops.ts';
import { type PollHead, pollHeadOf } from '../../fd/poll/poll-head.ts';
import { PollEvents } from '../../fd/poll/poll-events.ts';
import type { PollTable } from '../../fd/poll/poll-table.ts';
import { Fence } from '../../fence/fence.ts';
import { PollCallback } from '../../fence/poll-callback.ts';
import { SyncFileStruct as S } from './structs.ts';

/** Name of the kind of file. */
export const SYNC_FILE = 'sync_file';

/** @kernel sync_file_fops */
export const SYNC_FILE_OPS = builtinFileOps({
  name: SYNC_FILE,
  poll: pollSyncFile,
  release({ machine, priv }) {
    const { mem } = machine;
    const p = machine.slab(S).at(priv);
    const fence = Fence.of(machine, S.fence.get(mem, p));
    const callback = pollOf(machine, p);
    if (S.pollEnabled.load(mem, p) !== 0) callback.cancel(fence);
    callback.destroy();
    S.fence.set(mem, p, 0);
    fence.put();
    machine.slab(S).free(priv, 'sync_file_release');
  },
  describe: ({ machine, priv }) => {
    const p = machine.slab(S).tryAt(priv);
    return p === 0 ? 'sync_file, closed' : `sync_file of fence #${S.fence.get(machine.mem, p) >>> 0}`;
  },
});

/** The head that those who poll the sync_file at word `p` wait on. */
export function headOf(machine: Machine, p: number): PollHead {
  return pollHeadOf(machine, p, S.head, 'sync_file');
}

export function pollOf(machine: Machine, p: number): PollCallback {
  return new PollCallback(machine, p + S.poll.at);
}

/** The first poll ever puts a callback on the fence, which stays there. @kernel sync_file_poll */
function pollSyncFile(file: File, table: PollTable | undefined): number {
  const { machine, priv } = file;
  const p = machine.slab(S).at(priv);
  const fence = Fence.of(machine, S.fence.get(machine.mem, p));
  const head = headOf(machine, p);
  table?.wait(file, head);
  if (S.pollEnabled.cas(machine.mem, p, 0, 1) === 0 && !pollOf(machine, p).arm(fence)) head.wake();
  return fence.isSignaled() ? PollEvents.IN : 0;
}
