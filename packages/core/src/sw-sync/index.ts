export { type DeadlineRequest, SwSyncTimeline } from './sw-sync-timeline.ts';
export { syncInfo } from './sync-info.ts';
