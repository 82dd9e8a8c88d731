import { defineQuirks } from '@dmabuf-emu/shm';

/** Behaviours of the IOMMU in which kernels differ. A machine has those of its kernel, and those that its option `quirks` names. */
export const IOMMU_QUIRKS = defineQuirks({
  'iommu.wholeRanges': {
    what: 'page tables are handed whole ranges that nobody checked before: to map an unaligned one is ENXIO instead of EINVAL, one of no bytes is EINVAL instead of nothing',
    why: 'the generic page table took over the splitting into pages after 7.1',
    kernels: ['7.3'],
  },
});
