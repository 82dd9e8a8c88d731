import { i32, ref, struct, u53, words } from '@dmabuf-emu/shm';

/** Life of a grant: mapped; its exporter began to take it back; taken back and fences waited for. */
export const GRANT_LIVE = 1;
export const GRANT_INVALIDATED = 2;
export const GRANT_RETIRED = 3;

/** One range of DMA addresses that one device may use on behalf of one mapping of a dma-buf. */
export const GrantStruct = struct('dma_grant', {
  state: i32(),
  requester: i32(),
  dmabuf: ref(),
  attachment: ref(),
  ino: i32(),
  task: i32(),
  /** Interned names. */
  exporter: i32(),
  importer: i32(),
  /** Next grant of the same mapping. */
  next: ref(),
  address: u53(),
  length: u53(),
});

/** The grants of one requester, sorted by address. */
export const RequesterStruct = struct('dma_requester', {
  lock: i32(),
  /** Slot of the array of refs, its word, refs in use and room for. */
  list: ref(),
  listAt: i32(),
  count: i32(),
  room: i32(),
  /** Moved on by every change. */
  generation: i32(),
  /** No grant is longer. */
  longest: u53(),
});

/** What is remembered of a grant that is gone. */
export const GraveStruct = struct('dma_grave', {
  stamp: i32(),
  requester: i32(),
  dmabuf: ref(),
  attachment: ref(),
  ino: i32(),
  exporter: i32(),
  importer: i32(),
  address: u53(),
  length: u53(),
});

export const GRAVES = 512;
/** Ranges of BARs that were ever exported and are remembered one by one. */
export const EXPORTED_RANGES = 512;

/** Ranges of BARs that were ever exported. */
export const ExportedStruct = struct('dma_exported', { lock: i32(), count: i32(), ranges: words(EXPORTED_RANGES * 4) });
