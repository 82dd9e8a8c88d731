import { i32, mutex, ref, struct, u53, words } from '@dmabuf-emu/shm';

/** Orders 0..5 are kept in magazines: 1, 2, 4 .. 32 pages. @kernel IOVA_RANGE_CACHE_MAX_SIZE */
export const MAGAZINE_ORDERS = 6;
/** Entries of a magazine. @kernel IOVA_MAG_SIZE */
export const MAGAZINE_ENTRIES = 127;

/** The allocated ranges, what the search for free ones remembers, and magazines of freed ones. @kernel struct iova_domain */
export const IovaStruct = struct('iova_domain', {
  lock: mutex('iova_domain.lock'),
  /** Bits of an address below its page's number. @kernel iova_shift */
  shift: i32(),
  /** First page that may be given out, and first behind the last one. @kernel start_pfn */
  start: u53(),
  top: u53(),
  /** Pages below 4 GiB. @kernel dma_32bit_pfn */
  pages32: u53(),
  /** Word of the root of the tree of ranges, levels above its leaves, spare nodes and their number. */
  root: i32(),
  height: i32(),
  spare: i32(),
  spares: i32(),
  /** Ranges in the tree, and their pages. */
  count: i32(),
  taken: u53(),
  /** Where the next search starts, below 4 GiB and above. @kernel cached32_node, cached_node */
  cached32: u53(),
  cached: u53(),
  /** A request this large is known to fail below 4 GiB. @kernel max32_alloc_size */
  max32: u53(),
  /** Pages that were reserved and never come back. */
  reserved: u53(),
  /** Words of full magazines, by order of their size; how many; whether they are about to be trimmed. */
  depot: words(MAGAZINE_ORDERS),
  depotCount: words(MAGAZINE_ORDERS),
  trimming: words(MAGAZINE_ORDERS),
  /** Slot and word of the table of task caches, by task id. */
  caches: ref(),
  cachesAt: i32(),
});

const NODE_WORDS = 124;
/** Words of a range in a leaf: first page, first page behind it. And how many a leaf holds. */
export const RANGE_WORDS = 4;
export const LEAF_RANGES = NODE_WORDS / RANGE_WORDS;
/** Words of a child in an upper node: what it covers, as in a leaf, largest gap inside, word of the child. */
export const CHILD_WORDS = 8;
export const CHILD_GAP = 4;
export const CHILD_NODE = 6;
export const NODE_CHILDREN = Math.floor(NODE_WORDS / CHILD_WORDS);

/** A node of the tree of ranges. @kernel struct iova */
export const IovaNodeStruct = struct('iova_node', {
  count: i32(),
  /** Its own ref. */
  self: ref(),
  /** Word of the next spare node. */
  next: i32(),
  items: words(NODE_WORDS),
});

/** Freed page numbers of one size, as doubles. @kernel struct iova_magazine */
export const MagazineStruct = struct('iova_magazine', {
  count: i32(),
  /** Word of the next magazine of the depot. */
  next: i32(),
  /** Its own ref. */
  self: ref(),
  pages: words(MAGAZINE_ENTRIES * 2),
});

/** One task's magazines of one domain. @kernel struct iova_cpu_rcache */
export const TaskCacheStruct = struct('iova_task_cache', {
  /** Words of magazines, by order. */
  loaded: words(MAGAZINE_ORDERS),
  previous: words(MAGAZINE_ORDERS),
});
