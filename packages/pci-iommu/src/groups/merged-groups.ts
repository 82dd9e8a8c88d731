import type { IommuGroup } from './iommu-groups.ts';

/** Groups that another setup makes one. */
export interface MergedGroup {
  readonly group: IommuGroup;
  /** What it consists of, two or more. */
  readonly from: readonly IommuGroup[];
}

/**
 * What another setup of the same machine costs in isolation: the groups that it joins. So with redirects switched off for the
 * sake of peer-to-peer DMA, where a virtual machine gets whole groups only.
 *
 * @example
 * mergedGroups(iommuGroups(topology, setup), iommuGroups(topology, { ...setup, disableAcsRedir: ['0000:0b:00.0'] }));
 */
export function mergedGroups(before: readonly IommuGroup[], after: readonly IommuGroup[]): readonly MergedGroup[] {
  const former = new Map(before.flatMap((group) => group.functions.map((fn) => [fn, group] as const)));
  return after.flatMap((group) => {
    const from = new Set(group.functions.flatMap((fn) => former.get(fn) ?? []));
    return from.size > 1 ? [{ group, from: [...from] }] : [];
  });
}
