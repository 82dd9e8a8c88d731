export { type SyncFenceInfo, type SyncFileInfo } from './internal/info.ts';
export { SyncFile, type SyncMergeRequest } from './sync-file.ts';
