// P14. Calls DmaPort.copy(target, source, bytes) with both sides behind the IOMMU, frames in random order: two
// translations a page where the C reference makes one.
import { gbPerSecond } from '../lib/stats.mjs';
import { createMachine } from './machine.mjs';
import { createSystem, PAGE } from './pci-system.mjs';

const FIRST_IOVA = 2 ** 32;

export async function copyScattered({ pages, checks = false }) {
  const bytes = pages * PAGE;
  const { system, device, readWrite } = await createSystem({ memoryBytes: 2 * bytes + (32 << 20), checks });
  const { memory } = system;
  const physical = memory.allocPages(2 * pages);
  memory.cpuFill(physical, 1, 2 * bytes); // pages never written all read from the one zero page
  const frames = shuffled(pages, 1);
  const others = shuffled(pages, 2);
  for (let i = 0; i < pages; i++) {
    device.iommu.map(FIRST_IOVA + i * PAGE, physical + frames[i] * PAGE, PAGE, readWrite);
    device.iommu.map(FIRST_IOVA + (pages + i) * PAGE, physical + (pages + others[i]) * PAGE, PAGE, readWrite);
  }
  device.config.busMaster = true;
  return { GB_s: gbPerSecond(bytes, () => device.dma.copy(FIRST_IOVA + bytes, FIRST_IOVA, bytes)) };
}

/** The same copies without any translation: one wasm call a page. What the host's `memory.copy` allows. */
export async function copyPages({ pages }) {
  const bytes = pages * PAGE;
  const { mem, memoryBase } = await createMachine({ memoryBytes: 2 * bytes });
  mem.fill(memoryBase, 1, 2 * bytes);
  const from = shuffled(pages, 1).map((frame) => memoryBase + frame * PAGE);
  const to = shuffled(pages, 2).map((frame) => memoryBase + (pages + frame) * PAGE);
  return {
    GB_s: gbPerSecond(bytes, () => {
      for (let i = 0; i < pages; i++) mem.copy(to[i], from[i], PAGE);
    }),
  };
}

/** The same with `TypedArray.set`, as one would without WebAssembly. */
export function setPages({ pages }) {
  const { bytes, memory, from, to } = sharedPages(pages);
  const sources = from.map((at) => memory.subarray(at, at + PAGE));
  return {
    GB_s: gbPerSecond(bytes, () => {
      for (let i = 0; i < pages; i++) memory.set(sources[i], to[i]);
    }),
  };
}

/** One `TypedArray.set` of as many bytes in one piece. */
export function setAll({ pages }) {
  const { bytes, memory } = sharedPages(pages);
  const source = memory.subarray(0, bytes);
  return { GB_s: gbPerSecond(bytes, () => memory.set(source, bytes)) };
}

function sharedPages(pages) {
  const bytes = pages * PAGE;
  const memory = new Uint8Array(new SharedArrayBuffer(2 * bytes)).fill(1);
  const from = Array.from(shuffled(pages, 1), (frame) => frame * PAGE);
  const to = Array.from(shuffled(pages, 2), (frame) => (pages + frame) * PAGE);
  return { bytes, memory, from, to };
}

function shuffled(count, seed) {
  const list = Uint32Array.from({ length: count }, (_, i) => i);
  let x = seed;
  for (let i = count - 1; i > 0; i--) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    const j = (x >>> 8) % (i + 1);
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list;
}
