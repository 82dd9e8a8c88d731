export { BackingStore } from './backing-store.ts';
export { layOutMemory } from './layout.ts';
export { MemoryMap } from './memory-map.ts';
export type { BarRange, MemoryRegion, RegionKind } from './memory-region.ts';
export { isPageAligned, LARGE_PAGES, PAGE_SIZE, pageDown, pageNumber, pageOffset, pageUp } from './page.ts';
export type { PoolUsage } from './page-pool.ts';
export {
  type PatternMismatch,
  type PatternProblem,
  type PatternRange,
  type PatternStamp,
  PatternTable,
} from './pattern.ts';
export { PhysicalMemory } from './physical-memory.ts';
export { RunList } from './run-list.ts';
