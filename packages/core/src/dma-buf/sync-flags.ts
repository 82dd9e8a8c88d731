/** What a program is about to do, or has done, with a buffer. @kernel DMA_BUF_SYNC_* */
export const SyncFlags = { READ: 1, WRITE: 2, RW: 3, START: 0, END: 4 } as const;
