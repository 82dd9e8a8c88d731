// P16-P18. Calls IommuDomain: map(iova, paddr, bytes, prot), unmap(iova, bytes), iovaToPhys(iova), translate(page),
// iovaAlloc(bytes), iovaFree(iova, bytes).
import { exchangeRanges, randomAddresses } from '../reference/iommu.mjs';
import { median, nsPerTurn, scaled } from '../lib/stats.mjs';
import { createSystem, PAGE } from './pci-system.mjs';

const WINDOW = 0xff0000000; // page number: near the top of 48 bits, so every level is used, below what iovaAlloc gives out
const OTHER_PAGES = 25; // pages of a range of unrelated mappings, none next to each other
const MEMORY_BYTES = 64 << 20;

/** @param options.others live mappings of the domain besides those that are measured */
export async function translateAndMap({ pages, batch, others = 0 }) {
  const arenaBytes = (64 << 20) + others * 8;
  const { system, device, readWrite } = await createSystem({ memoryBytes: MEMORY_BYTES, arenaBytes });
  const domain = device.iommu;
  const physical = system.memory.allocPages(pages);
  for (let done = 0; done < others; done += OTHER_PAGES) {
    const iova = domain.iovaAlloc(OTHER_PAGES * PAGE);
    for (let i = 0; i < OTHER_PAGES; i++) {
      domain.map(iova + i * PAGE, physical + ((done + i * 7) % pages) * PAGE, PAGE, readWrite);
    }
  }
  const map_page_ns = nsPerMappedPage(domain, physical, pages, batch, readWrite);
  for (let page = 0; page < pages; page += batch) {
    domain.map((WINDOW + page) * PAGE, physical + page * PAGE, batch * PAGE, readWrite);
  }
  const addresses = randomAddresses(pages, WINDOW);
  const numbers = addresses.map((a) => a / PAGE);
  let sum = 0;
  const translate_ns = nsPerTurn((turns) => {
    let total = 0; // a variable of the outer function would be boxed at every turn
    for (let i = 0; i < turns; i++) total += domain.iovaToPhys(addresses[i & 65535]);
    sum += total;
  }, 1 << 20);
  const device_translate_ns = nsPerTurn((turns) => {
    let total = 0;
    for (let i = 0; i < turns; i++) total += domain.translate(numbers[i & 65535], false);
    sum += total;
  }, 1 << 20);
  if (sum === 0) throw new Error('nothing was mapped');
  return { translate_ns, map_page_ns, device_translate_ns };
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
