export { ResvCursor } from './cursor.ts';
export { ResvLockedCursor } from './locked-cursor.ts';
export { Resv, type ResvWaitOptions } from './resv.ts';
export { ResvUsage, resvUsageRw } from './usage.ts';
