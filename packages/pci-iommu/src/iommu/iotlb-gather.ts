/**
 * Ranges of IOVAs that were unmapped and wait for the IOTLB to be told: the caller of {@link IommuDomain.unmapFast} collects
 * them and hands them to {@link IommuDomain.iotlbSync}.
 * @kernel struct iommu_iotlb_gather
 */
export class IotlbGather {
  /** Page numbers [first, end); empty while first is Infinity. */
  first = Infinity;
  end = 0;

  add(first: number, end: number): void {
    this.first = Math.min(this.first, first);
    this.end = Math.max(this.end, end);
  }

  clear(): void {
    this.first = Infinity;
    this.end = 0;
  }
}
