// Page table and IOVA allocator on the bare platform: 32-bit entries in shared memory, addresses as Number.
import { nsPerTurn } from '../lib/stats.mjs';

const WINDOW = 0xfffff0000; // page number: the top of 48 bits, so every level is used
const PAGE = 4096;
const SAMPLES = 1 << 16;

/** Random page-aligned addresses in the window, the same sequence as in the C reference. */
export function randomAddresses(pages, window = WINDOW) {
  const addresses = new Float64Array(SAMPLES);
  let x = 1;
  for (let i = 0; i < SAMPLES; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    addresses[i] = (window + ((x >>> 8) % pages)) * PAGE;
  }
  return addresses;
}

class PageTable {
  constructor(pages) {
    this.entries = new Int32Array(new SharedArrayBuffer(512 * 4 * (Math.ceil(pages / 512) + 20)));
    this.used = 512;
  }

  next(i) {
    const e = this.entries[i];
    if (e !== 0) return e;
    const table = this.used;
    this.entries[i] = table;
    this.used += 512;
    return table;
  }

  map(iova, frame) {
    const low = (iova / 4096) >>> 0;
    const high = (iova / 17592186044416) | 0;
    let e = this.next(((high << 5) | (low >>> 27)) & 511);
    e = this.next(e + ((low >>> 18) & 511));
    e = this.next(e + ((low >>> 9) & 511));
    this.entries[e + (low & 511)] = (frame << 4) | 3;
  }

  walk(iova) {
    const t = this.entries;
    const low = (iova / 4096) >>> 0;
    const high = (iova / 17592186044416) | 0;
    let e = t[((high << 5) | (low >>> 27)) & 511];
    if (e === 0) return 0;
    e = t[e + ((low >>> 18) & 511)];
    if (e === 0) return 0;
    e = t[e + ((low >>> 9) & 511)];
    if (e === 0) return 0;
    return t[e + (low & 511)];
  }
}

export function translate({ pages }) {
  const table = new PageTable(pages);
  const map = nsPerTurn((turns) => {
    for (let i = 0, page = 0; i < turns; i++) {
      table.map((WINDOW + page) * PAGE, page);
      if (++page === pages) page = 0;
    }
  }, 1 << 19);
  for (let page = 0; page < pages; page++) table.map((WINDOW + page) * PAGE, page);
  const addresses = randomAddresses(pages);
  let sum = 0;
  const lookUp = nsPerTurn((turns) => {
    for (let i = 0; i < turns; i++) sum = (sum + table.walk(addresses[i & (SAMPLES - 1)])) | 0;
  }, 1 << 20);
  if (sum === 1) throw new Error('unreachable, but the compiler cannot know');
  return { translate_ns: lookUp, map_page_ns: map };
}

/** The tempting way: BigUint64Array entries and BigInt addresses. */
export function translateBigInt({ pages }) {
  const entries = new BigUint64Array(new SharedArrayBuffer(512 * 8 * (Math.ceil(pages / 512) + 20)));
  let used = 512n;
  const next = (i) => {
    if (entries[i] === 0n) {
      entries[i] = used;
      used += 512n;
    }
    return entries[i];
  };
  const map = (iova, frame) => {
    let e = next(Number((iova >> 39n) & 511n));
    e = next(Number(e + ((iova >> 30n) & 511n)));
    e = next(Number(e + ((iova >> 21n) & 511n)));
    entries[Number(e + ((iova >> 12n) & 511n))] = (BigInt(frame) << 12n) | 3n;
  };
  const walk = (iova) => {
    let e = entries[Number((iova >> 39n) & 511n)];
    e = entries[Number(e + ((iova >> 30n) & 511n))];
    e = entries[Number(e + ((iova >> 21n) & 511n))];
    return Number(entries[Number(e + ((iova >> 12n) & 511n))] & 0xfffffn);
  };
  const window = Array.from({ length: pages }, (_, i) => BigInt(WINDOW + i) << 12n);
  const mapNs = nsPerTurn((turns) => {
    for (let i = 0, page = 0; i < turns; i++) {
      map(window[page], page);
      if (++page === pages) page = 0;
    }
  }, 1 << 16);
  for (let page = 0; page < pages; page++) map(window[page], page);
  const addresses = Array.from(randomAddresses(pages), BigInt);
  let sum = 0;
  const lookUp = nsPerTurn((turns) => {
    for (let i = 0; i < turns; i++) sum = (sum + walk(addresses[i & (SAMPLES - 1)])) | 0;
  }, 1 << 16);
  if (sum === 1) throw new Error('unreachable, but the compiler cannot know');
  return { translate_ns: lookUp, map_page_ns: mapNs };
}

// ---- IOVA: per-size magazines of 127 ranges, two in use and a depot, in front of a bitmap of 2^20 pages
const WORDS = (1 << 20) / 32;
const MAGAZINE = 127; // word 127 of a magazine is its fill count
const DEPOT = 32;
const ALIGNED = Int32Array.of(-1, 0x55555555, 0x11111111, 0x01010101, 0x00010001, 1);
const maskOf = (size) => (size === 32 ? -1 : (1 << size) - 1);

class Bitmap {
  words = new Int32Array(WORDS);
  next = 0;

  alloc(size) {
    for (let k = 0; k < WORDS; k++) {
      const w = this.next;
      let runs = ~this.words[w];
      for (let s = 1; s < size; s <<= 1) runs &= runs >>> s;
      runs &= ALIGNED[31 - Math.clz32(size)];
      if (runs !== 0) {
        const bit = 31 - Math.clz32(runs & -runs);
        this.words[w] |= maskOf(size) << bit;
        return w * 32 + bit;
      }
      this.next = (w + 1) & (WORDS - 1);
    }
    return -1;
  }

  free(at, size) {
    this.words[at >> 5] &= ~(maskOf(size) << (at & 31));
  }
}

class RangeCache {
  base = new Bitmap();
  caches = Array.from({ length: 6 }, () => ({ loaded: new Int32Array(128), previous: new Int32Array(128), depot: [] }));

  alloc(size) {
    const c = this.caches[31 - Math.clz32(size)];
    let m = c.loaded;
    if (m[MAGAZINE] === 0) {
      if (c.previous[MAGAZINE] !== 0) {
        c.loaded = c.previous;
        c.previous = m;
      } else if (c.depot.length > 0) c.loaded = c.depot.pop();
      else return this.base.alloc(size);
      m = c.loaded;
    }
    return m[--m[MAGAZINE]];
  }

  free(at, size) {
    const c = this.caches[31 - Math.clz32(size)];
    let m = c.loaded;
    if (m[MAGAZINE] === MAGAZINE) {
      if (c.previous[MAGAZINE] === 0) {
        c.loaded = c.previous;
        c.previous = m;
      } else if (c.depot.length < DEPOT) {
        c.depot.push(m);
        c.loaded = new Int32Array(128);
      } else {
        for (let i = 0; i < MAGAZINE; i++) this.base.free(m[i], size);
        m[MAGAZINE] = 0;
      }
      m = c.loaded;
    }
    m[m[MAGAZINE]++] = at;
  }
}

export function iovaAllocator() {
  return exchangeRanges(() => {
    const cache = new RangeCache();
    return { alloc: (pages) => cache.alloc(pages), free: (at, pages) => cache.free(at, pages) };
  });
}

/**
 * ns of freeing one of 4096 live ranges and allocating another: of one page, and of mixed powers of two up to 32.
 * @param {() => { alloc(pages: number): number, free(at: number, pages: number): void }} create a fresh allocator;
 *   alloc answers a negative number when it is full
 */
export function exchangeRanges(create) {
  const run = (mixed) => {
    const LIVE = 4096;
    const allocator = create();
    const at = new Float64Array(LIVE);
    const size = new Int32Array(LIVE);
    let x = 7;
    const random = () => (x = (Math.imul(x, 1664525) + 1013904223) | 0) >>> 8;
    const nextSize = () => {
      if (!mixed) return 1;
      const r = random() % 100;
      return r < 60 ? 1 : r < 75 ? 2 : r < 85 ? 4 : r < 92 ? 8 : r < 97 ? 16 : 32;
    };
    for (let i = 0; i < LIVE; i++) at[i] = allocator.alloc((size[i] = nextSize()));
    return nsPerTurn((turns) => {
      for (let i = 0; i < turns; i++) {
        const k = random() % LIVE;
        allocator.free(at[k], size[k]);
        at[k] = allocator.alloc((size[k] = nextSize()));
        if (at[k] < 0) throw new Error('no address range left');
      }
    }, 4e5);
  };
  return { one_page_ns: run(false), mixed_ns: run(true) };
}
