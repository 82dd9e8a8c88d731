/**
 * What a mapping allows, and how. Only READ and WRITE change what this IOMMU does; the others are carried for the record.
 * @kernel IOMMU_READ, IOMMU_WRITE
 */
export const IommuProt = {
  READ: 1,
  WRITE: 2,
  CACHE: 4,
  NOEXEC: 8,
  MMIO: 16,
  PRIV: 32,
} as const;

/** The bits that a page-table entry keeps. */
export const PROT_MASK = IommuProt.READ | IommuProt.WRITE;
