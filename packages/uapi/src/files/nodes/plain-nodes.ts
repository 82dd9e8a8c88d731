import { FileKind, FsMagic } from '../file-behaviour.ts';
import type { FsNode } from '../fs-node.ts';
import { deviceNode } from './device-node.ts';

const EVERYBODY = { permissions: 0o666 };

/** The null device, the console, an empty folder. */
export const PLAIN_NODES: readonly FsNode[] = [
  deviceNode(
    '/dev/null',
    {
      seekable: true,
      llseek: ({ file }) => (file.pos = 0),
      read: () => new Uint8Array(),
      write: (_, bytes) => bytes.length,
    },
    EVERYBODY,
  ),
  deviceNode('/dev/console', { read: () => new Uint8Array(), write: (_, bytes) => bytes.length }),
  {
    path: '/tmp',
    mode: FileKind.DIRECTORY | 0o1777,
    behaviour: { magic: FsMagic.TMPFS, stat: () => ({ mode: FileKind.DIRECTORY | 0o1777, nlink: 2 }) },
  },
];
