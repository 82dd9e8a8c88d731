import { PAGE_BYTES } from '@dmabuf-emu/core';
import { type FileBehaviour, FileKind, FsMagic } from '../file-behaviour.ts';
import type { FsNode } from '../fs-node.ts';

/** A character device that root may use. What it does stands in `behaviour`. */
export function deviceNode(
  path: string,
  behaviour: FileBehaviour,
  { permissions = 0o600 }: { permissions?: number } = {},
): FsNode {
  const mode = FileKind.CHARACTER | permissions;
  return {
    path,
    mode,
    behaviour: { positioned: true, magic: FsMagic.TMPFS, stat: () => ({ mode, blksize: PAGE_BYTES }), ...behaviour },
  };
}
