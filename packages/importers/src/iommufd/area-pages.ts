import type { IommuDomain } from '@dmabuf-emu/pci-iommu';

/** What is behind an area. @kernel iopt_pages */
export interface AreaPages {
  readonly ref: number;
  /** Maps an area in a domain. */
  fill(area: number, domain: IommuDomain): void;
  /** Ends an area's mapping in a domain. */
  unfill(area: number, domain: IommuDomain): void;
  /** Lets go of the memory. */
  put(): void;
}
