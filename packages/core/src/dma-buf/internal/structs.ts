import { i32, ref, struct, u53, words } from '@dmabuf-emu/shm';
import { pollHead } from '../../fd/poll/poll-head.ts';
import { pollCallback } from '../../fence/poll-callback.ts';

/** Longest name of a buffer in bytes, without the NUL that ends it. @kernel DMA_BUF_NAME_LEN */
export const MAX_NAME_BYTES = 31;

/** A shared buffer; counted by its file. @kernel dma_buf */
export const DmaBufStruct = struct('dma_buf', {
  size: u53(),
  ino: u53(),
  /** Cached kernel mapping while `vmapCount` is not 0. Under resv. */
  vmapAddress: u53(),
  vmapIsIomem: i32(),
  vmapCount: i32(),
  file: ref(),
  /** Number of the exporter's driver, its module, its data. */
  exporter: i32(),
  owner: ref(),
  priv: i32(),
  expName: i32(),
  resv: ref(),
  ownResv: i32(),
  /** Newest attachment. Under resv. */
  attachments: ref(),
  /** Tables that were still mapped when their attachment went. Under resv. */
  orphans: ref(),
  /** Neighbours in the global list, newest first, and whether it is on it. Under dmabuf_list_mutex. */
  next: ref(),
  prev: ref(),
  listed: i32(),
  /** Label: length + 1 (0: none) and bytes. Under `nameLock`. */
  nameLock: i32(),
  nameSize: i32(),
  nameBytes: words(8),
  /** Word of the completion that a revoker waits on, 0 for none; dead task after which the buffer is beyond use. */
  drainAt: i32(),
  damagedBy: i32(),
  /** Where pollers wait, and what wakes those that wait to read and to write. @kernel poll, cb_in, cb_out */
  poll: pollHead(),
  pollIn: pollCallback(),
  pollOut: pollCallback(),
});

/** What an attachment's flag word says; constant once it is made, but for LISTED. */
export const ATT_DYNAMIC = 1;
export const ATT_PEER2PEER = 2;
export const ATT_REVOCABLE = 4;
export const ATT_LISTED = 8;

/** A device's use of a buffer. @kernel dma_buf_attachment */
export const AttachmentStruct = struct('dma_buf_attachment', {
  dmabuf: ref(),
  device: ref(),
  /** Number of the importer's driver, 0 for a static importer; its data. */
  importer: i32(),
  importerPriv: i32(),
  /** The exporter's data. */
  priv: i32(),
  flags: i32(),
  /** Neighbours in the buffer's list, newest first. Under resv. */
  next: ref(),
  prev: ref(),
  /** Newest live table. Under resv. */
  tables: ref(),
  /** Pins that the importer holds. Under resv. */
  pins: i32(),
  ownerTask: i32(),
  /** Dead task that took it to its grave. */
  lostBy: i32(),
});
