export { dmaMapSgTable, dmaUnmapSgTable } from './dma-map-sg.ts';
export { type HeldKind, type HeldRefs, registerHolder } from './holders.ts';
export { HUGE_PAGES, hugePageLimit, hugePagesUsed, setHugePageLimit } from './huge-pages.ts';
export { allocPage, getPage, pagePaddr, pageRefs, putPage } from './page.ts';
export { clearPages, pageBytesAt, ramOf } from './page-bytes.ts';
export { PageList, type PageRun } from './page-list.ts';
export { prepareMemory } from './prepare.ts';
export { Shmem, type ShmemOptions } from './shmem.ts';
export { readKernel, vmapPages, vunmapPages, writeKernel } from './vmap.ts';
