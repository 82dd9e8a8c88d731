import { defineQuirks } from '@dmabuf-emu/shm';

/** Behaviours in which kernels differ. A machine has those of its kernel, and those that its option `quirks` names. */
export const HEAP_QUIRKS = defineQuirks({
  'udmabuf.noSizeLimit': {
    what: 'size_limit_mb starts at 2147483647 instead of 64',
    why: 'the limit came to be in the way of large buffers; changed after 7.1',
    kernels: ['7.3'],
  },
  'udmabuf.firstSyncSkipped': {
    what: 'the first begin of CPU access maps the buffer but does not sync it',
    why: 'defect up to v7.1-rc2',
    kernels: ['7.1-rc2', '7.0', '6.19', '6.12'],
  },
  'heap.reservedAlias': {
    what: 'the default CMA area has a second heap with the name of the area, `reserved`',
    why: 'as a 7.3.4 kernel shows it',
    kernels: ['7.3'],
  },
  'heap.cmaAreaName': {
    what: 'the heap of the default CMA area has the name of the area, `reserved`, instead of `default_cma_region`',
    why: 'the name came with 6.17',
    kernels: ['6.12'],
  },
});
