import { defineQuirks } from '@dmabuf-emu/shm';

/** Behaviours of the IOMMU in which kernels differ. A machine has those of its kernel, and those that its option `quirks` names. */
export const IOMMU_QUIRKS = defineQuirks({
  'iommu.wholeRanges': {
    what: 'page tables are handed whole ranges that nobody checked before: to map an unaligned one is ENXIO instead of EINVAL, one of no bytes is EINVAL instead of nothing',
    why: 'the generic page table took over the splitting into pages after 7.1',
    kernels: ['7.3'],
  },
  'iommu.unmapFromStart': {
    what: 'an unmap that begins inside a large page removes nothing, instead of the page as a whole',
    why: 'the generic page table tells so in a comment, but looks for the beginning of a page; no caller does that',
    kernels: [],
  },
  'iommu.mmioPhysToDma': {
    what: 'without translation, MMIO is mapped at the address at which the inbound ranges of the host bridge show it, instead of its physical address',
    why: 'dma_direct_map_phys applies phys_to_dma to every mapping since 7.3',
    kernels: ['7.3'],
  },
  'iommu.bounceIgnoresMmio': {
    what: 'unaligned MMIO is mapped for an untrusted device, whole pages of it, instead of being refused',
    why: 'the test for bouncing leaves MMIO out since 7.3',
    kernels: ['7.3'],
  },
  'iommu.iovaDestroyQueued': {
    what: 'lazy domains put the invalidation of linked ranges off as well when they are destroyed, IOVAs and all',
    why: 'dma_iova_destroy invalidates at once since it gives the whole range of IOVAs back',
    kernels: ['6.19', '7.0', '7.1-rc2'],
  },
});
