// P16-P18. Calls IommuDomain: map(iova, paddr, bytes, prot), unmap(iova, bytes), iovaToPhys(iova), translate(page),
// iovaAlloc(bytes), iovaFree(iova, bytes).
import { exchangeRanges, randomAddresses } from '../reference/iommu.mjs';
import { median, nsPerTurn, nsUndisturbed, scaled } from '../lib/stats.mjs';
import { createSystem, PAGE } from './pci-system.mjs';

const WINDOW = 0xff0000000; // page number: near the top of 48 bits, so every level is used, below what iovaAlloc gives out
const OTHER_PAGES = 25; // pages of a range of unrelated mappings, none next to each other
const LARGE = 512; // pages of a large leaf
const LARGE_IOVA = 64 * PAGE; // too large for the magazines of freed ranges
const MEMORY_BYTES = 64 << 20;

export async function translateAndMap({ pages, batch }) {
  const { system, device, readWrite } = await createSystem({ memoryBytes: MEMORY_BYTES });
  const domain = device.iommu;
  const physical = system.memory.allocPages(pages);
  const map_page_ns = nsPerMappedPage(domain, physical, pages, batch, readWrite);
  for (let page = 0; page < pages; page += batch) {
    domain.map((WINDOW + page) * PAGE, physical + page * PAGE, batch * PAGE, readWrite);
  }
  const addresses = randomAddresses(pages, WINDOW);
  let sum = 0;
  const translate_ns = nsPerTurn((turns) => {
    let total = 0; // a variable of the outer function would be boxed at every turn
    for (let i = 0; i < turns; i++) total += domain.iovaToPhys(addresses[i & 65535]);
    sum += total;
  }, 1 << 20);
  if (sum === 0) throw new Error('nothing was mapped');
  return { translate_ns, map_page_ns };
}

/** As devices translate: all hits when the pages are few, all misses when they are many and asked for in turn. */
export async function deviceTranslate({ pages }) {
  const { system, device, readWrite } = await createSystem({ memoryBytes: MEMORY_BYTES });
  const domain = device.iommu;
  domain.map(WINDOW * PAGE, system.memory.allocPages(pages), pages * PAGE, readWrite);
  let sum = 0;
  const translate_ns = nsPerTurn((turns) => {
    let total = 0;
    for (let i = 0, page = 0; i < turns; i++) {
      total += domain.translate(WINDOW + page, false);
      if (++page === pages) page = 0;
    }
    sum += total;
  }, 1 << 20);
  if (sum === 0) throw new Error('nothing was mapped');
  return { translate_ns };
}

/**
 * The price of operations beside `others` live mappings of single pages in the same domain, and what those take of the arena.
 * @param options.others how many
 */
export async function besideMappings({ others }) {
  const arenaBytes = (64 << 20) + others * 16;
  const { machine, system, device, readWrite } = await createSystem({ memoryBytes: MEMORY_BYTES, arenaBytes });
  const domain = device.iommu;
  const physical = system.memory.allocPages(LARGE, LARGE);
  const before = machine.arena.usage().usedBytes;
  const start = performance.now();
  mapOthers(domain, physical, others, readWrite);
  const made_ns = ((performance.now() - start) * 1e6) / others;
  const mapping_bytes = (machine.arena.usage().usedBytes - before) / others;
  const [page, large, window] = [WINDOW * PAGE, (WINDOW + LARGE) * PAGE, WINDOW + 2 * LARGE];
  domain.map(window * PAGE, physical + PAGE, LARGE * PAGE - PAGE, readWrite);
  let next = 0;
  const times = nsUndisturbed({
    map_unmap_4K_ns: () => {
      domain.map(page, physical, PAGE, readWrite);
      domain.unmap(page, PAGE);
    },
    map_unmap_2M_ns: () => {
      domain.map(large, physical, LARGE * PAGE, readWrite);
      domain.unmap(large, LARGE * PAGE);
    },
    phys_ns: () => domain.iovaToPhys(window * PAGE),
    hit_ns: () => domain.translate(window, false),
    miss_ns: () => {
      next = next === LARGE - 2 ? 0 : next + 1;
      return domain.translate(window + next, false);
    },
    iova_ns: () => domain.iovaFree(domain.iovaAlloc(PAGE), PAGE),
    iova_256K_ns: () => domain.iovaFree(domain.iovaAlloc(LARGE_IOVA), LARGE_IOVA),
  });
  return { mapping_bytes, made_ns, ...times };
}

/** Ranges of pages that have nothing to do with each other, as of many small buffers. */
function mapOthers(domain, physical, others, prot) {
  for (let done = 0; done < others; done += OTHER_PAGES) {
    const iova = domain.iovaAlloc(OTHER_PAGES * PAGE);
    for (let i = 0; i < OTHER_PAGES; i++) {
      domain.map(iova + i * PAGE, physical + ((done + i * 7) % LARGE) * PAGE, PAGE, prot);
    }
  }
}

/** Maps the whole window in batches, timed; unmaps it, not timed; and again. */
function nsPerMappedPage(domain, physical, pages, batch, prot) {
  const times = [];
  const rounds = Math.max(80, scaled(120)); // few would measure the compiler
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    for (let page = 0; page < pages; page += batch) {
      domain.map((WINDOW + page) * PAGE, physical + page * PAGE, batch * PAGE, prot);
    }
    times.push(((performance.now() - start) * 1e6) / pages);
    domain.unmap(WINDOW * PAGE, pages * PAGE);
  }
  return median(times.slice(rounds >> 2)); // the first quarter warms up
}

export async function iovaAllocator() {
  const systems = [
    await createSystem({ memoryBytes: MEMORY_BYTES }),
    await createSystem({ memoryBytes: MEMORY_BYTES }),
  ];
  return exchangeRanges(() => {
    const domain = systems.pop().device.iommu;
    return {
      alloc: (pages) => domain.iovaAlloc(pages * PAGE) || -1,
      free: (at, pages) => domain.iovaFree(at, pages * PAGE),
    };
  });
}
