import { bufinfo } from '@dmabuf-emu/core';
import { FsMagic } from '../file-behaviour.ts';
import type { FsNode } from '../fs-node.ts';
import { textNode } from './text-node.ts';

const DEBUGFS = '/sys/kernel/debug';

/** What the kernel tells of itself in texts. */
export const KERNEL_TEXT_NODES: readonly FsNode[] = [
  textNode({ path: `${DEBUGFS}/dma_buf/bufinfo`, permissions: 0o444, magic: FsMagic.DEBUGFS, show: bufinfo }),
];
