import { i32, ref, struct, u53, words } from '@dmabuf-emu/shm';

/**
 * A list of DMA address ranges. It has no pages: importers see addresses and lengths only.
 * The entries (f64 address, f64 length each) are a kmem block; `attachment` to `maps` say whose live mapping it is.
 * @kernel sg_table
 */
export const SgTableStruct = struct('sg_table', {
  nents: i32(),
  origNents: i32(),
  /** Entries block and how many entries it has room for; null when it never had any. */
  entries: ref(),
  capacity: i32(),
  /** Set while mapped: how many unmaps are owed, of which buffer, through which attachment and importer driver, in which list. */
  maps: i32(),
  dmabuf: ref(),
  attachment: ref(),
  importer: i32(),
  device: ref(),
  direction: i32(),
  next: ref(),
  prev: ref(),
  /** The exporter's table behind a wrapped view. */
  original: ref(),
  /** Task that mapped it; also set on tables in the making, so that nothing of a dead task goes unnoticed. */
  ownerTask: i32(),
  /** Dead task that took it to its grave. */
  lostBy: i32(),
  privWords: words(4),
  privNumber0: u53(),
  privNumber1: u53(),
});
