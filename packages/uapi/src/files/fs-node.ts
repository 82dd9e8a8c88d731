import type { File } from '@dmabuf-emu/core';
import type { Process } from '../process/process.ts';
import type { FileBehaviour } from './file-behaviour.ts';

/** Something with a path. @kernel inode, dentry */
export interface FsNode {
  readonly path: string;
  /** Kind and permissions. */
  readonly mode: number;
  readonly behaviour: FileBehaviour;
  /** Makes the open file, with one reference; a plain one of the node when left out. `flags` are those of open(2). */
  readonly open?: (process: Process, flags: number) => File;
}
