import { bufinfo, SwSyncTimeline, syncInfo } from '@dmabuf-emu/core';
import { FileKind, FsMagic } from '../file-behaviour.ts';
import type { FsNode } from '../fs-node.ts';
import { SW_SYNC_BEHAVIOUR } from '../sync-behaviours.ts';
import { textNode } from './text-node.ts';

const DEBUGFS = '/sys/kernel/debug';

/** What debugfs has of dma-bufs and fences; opening sw_sync makes a timeline. */
export const DEBUG_NODES: readonly FsNode[] = [
  textNode({ path: `${DEBUGFS}/dma_buf/bufinfo`, permissions: 0o444, magic: FsMagic.DEBUGFS, show: bufinfo }),
  textNode({ path: `${DEBUGFS}/sync/info`, permissions: 0o444, magic: FsMagic.DEBUGFS, show: syncInfo }),
  {
    path: `${DEBUGFS}/sync/sw_sync`,
    mode: FileKind.REGULAR | 0o644,
    behaviour: SW_SYNC_BEHAVIOUR,
    open: ({ machine }, flags) => {
      const { file } = SwSyncTimeline.create(machine);
      file.flags = flags;
      return file;
    },
  },
];
