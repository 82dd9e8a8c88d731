// P16-P18. Calls IommuDomain: map(iova, paddr, bytes, prot), unmap(iova, bytes), iovaToPhys(iova), translate(page),
// iovaAlloc(bytes), iovaFree(iova, bytes).
import { exchangeRanges, randomAddresses } from '../reference/iommu.mjs';
import { median, nsPerTurn, scaled } from '../lib/stats.mjs';
import { createSystem, PAGE } from './pci-system.mjs';

const WINDOW = 0xfffff0000; // page number: the top of 48 bits, so every level of the page table is used
const MEMORY_BYTES = 64 << 20;

export async function translateAndMap({ pages, batch }) {
  const { system, device, readWrite } = await createSystem({ memoryBytes: MEMORY_BYTES });
  const domain = device.iommu;
  const physical = system.memory.allocPages(pages);
  const map_page_ns = nsPerMappedPage(domain, physical, pages, batch, readWrite);
  for (let page = 0; page < pages; page += batch) {
    domain.map((WINDOW + page) * PAGE, physical + page * PAGE, batch * PAGE, readWrite);
  }
  const addresses = randomAddresses(pages);
  const numbers = addresses.map((a) => a / PAGE);
  let sum = 0;
  const translate_ns = nsPerTurn((turns) => {
    for (let i = 0; i < turns; i++) sum += domain.iovaToPhys(addresses[i & 65535]);
  }, 1 << 20);
  const device_translate_ns = nsPerTurn((turns) => {
    for (let i = 0; i < turns; i++) sum += domain.translate(numbers[i & 65535], false);
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
