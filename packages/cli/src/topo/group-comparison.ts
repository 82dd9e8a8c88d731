import { type GroupDifference, groupDifferences, type ListedGroup } from '@dmabuf-emu/pci-iommu';
import type { MachineView } from './machine-view.ts';

/** How the groups of a machine compare with those of a listing. Numbers do not count, only who is with whom. */
export interface GroupComparison {
  /** Groups in the listing. */
  readonly listed: number;
  /** Groups of the listing that are the same here. */
  readonly equal: number;
  readonly differences: readonly GroupDifference[];
}

/** Compares the groups of a machine with those of a listing. */
export function compareGroups({ groups }: MachineView, listed: readonly ListedGroup[]): GroupComparison {
  const differences = groupDifferences(groups, listed);
  const concerned = new Set(differences.flatMap((difference) => difference.listed.map(({ id }) => id)));
  const notListed = new Set(differences.flatMap(({ kind, functions }) => (kind === 'not-listed' ? functions : [])));
  const grown = groups.filter(({ functions }) => functions.some(({ bdf }) => notListed.has(bdf)));
  const shares = new Set(grown.flatMap(({ functions }) => functions.map(({ bdf }) => bdf)));
  const same = listed.filter(({ id, devices }) => !concerned.has(id) && !devices.some((bdf) => shares.has(bdf)));
  return { listed: listed.length, equal: same.length, differences };
}
