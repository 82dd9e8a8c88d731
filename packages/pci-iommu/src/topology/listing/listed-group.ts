import type { Bdf } from '../bdf.ts';

/** One IOMMU group as a listing of a real machine shows it. */
export interface ListedGroup {
  readonly id: number;
  /** Ascending; never empty. */
  readonly devices: readonly Bdf[];
}
