import { syncFileIoctl } from '../ioctl/sync-file.ts';
import { swSyncIoctl } from '../ioctl/sw-sync.ts';
import { type FileBehaviour, FileKind, FsMagic } from './file-behaviour.ts';

/** @kernel sync_file_fops */
export const SYNC_FILE_BEHAVIOUR: FileBehaviour = { ioctl: syncFileIoctl };

/** @kernel sw_sync_debugfs_fops */
export const SW_SYNC_BEHAVIOUR: FileBehaviour = {
  positioned: true,
  regular: true,
  magic: FsMagic.DEBUGFS,
  stat: () => ({ mode: FileKind.REGULAR | 0o644 }),
  truncate: () => {},
  ioctl: swSyncIoctl,
};
