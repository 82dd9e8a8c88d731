/** Options of `topo` as typed. */
export interface TopoFlags {
  readonly iommu?: string;
  readonly acsOverride?: string;
  readonly disableAcsRedir?: string;
  readonly configAcs?: string;
  readonly cpu?: string;
  readonly devices?: string;
  readonly from?: string;
  readonly to?: string;
  readonly expectGroups?: string;
  readonly lenient?: boolean;
  readonly svg?: string;
  readonly html?: string;
  readonly writeLspci?: string;
  readonly json?: boolean;
  readonly verbose?: boolean;
}
