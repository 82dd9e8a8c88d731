import { type Bdf, bdfKey, parseBdf } from '../bdf.ts';
import { logicalLines } from '../lspci/logical-lines.ts';
import { TopologyError } from '../topology-error.ts';
import { groupEntries } from './group-lines.ts';
import { groupStates } from './group-states.ts';
import type { ListedGroup } from './listed-group.ts';

/**
 * The IOMMU groups that a text lists: `Group 3: ... 00:02.0` and `IOMMU Group 3:` listings, `lspci -v` output, boot logs
 * (`pci 0000:00:02.0: Adding to iommu group 3`), paths below /sys/kernel/iommu_groups. Of several states of a machine the
 * first is taken.
 *
 * @throws TopologyError when the text lists no group
 */
export function readGroupListing(text: string): readonly ListedGroup[] {
  const [first] = groupStates(groupEntries(logicalLines(text)));
  if (first === undefined) {
    throw new TopologyError('expected IOMMU groups: no line such as "IOMMU Group 3:" or "IOMMU group: 3" found', {
      line: 1,
    });
  }
  return groupsOf(first.groupOf);
}

/** Groups in ascending order of their numbers, devices in ascending order of their names. */
export function groupsOf(groupOf: ReadonlyMap<Bdf, number>): readonly ListedGroup[] {
  const groups = new Map<number, Bdf[]>();
  for (const [bdf, id] of groupOf) {
    const devices = groups.get(id);
    if (devices === undefined) groups.set(id, [bdf]);
    else devices.push(bdf);
  }
  return [...groups]
    .toSorted(([a], [b]) => a - b)
    .map(([id, devices]) => ({
      id,
      devices: devices.toSorted((a, b) => bdfKey(parseBdf(a)) - bdfKey(parseBdf(b))),
    }));
}
