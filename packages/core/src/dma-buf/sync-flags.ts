/** What a program is about to do, or has done, with a buffer. */
export const SyncFlags = {
  /** @kernel DMA_BUF_SYNC_READ */
  READ: 1,
  /** @kernel DMA_BUF_SYNC_WRITE */
  WRITE: 2,
  /** @kernel DMA_BUF_SYNC_RW */
  RW: 3,
  /** @kernel DMA_BUF_SYNC_START */
  START: 0,
  /** @kernel DMA_BUF_SYNC_END */
  END: 4,
  /** All of them. @kernel DMA_BUF_SYNC_VALID_FLAGS_MASK */
  VALID_FLAGS_MASK: 7,
} as const;
