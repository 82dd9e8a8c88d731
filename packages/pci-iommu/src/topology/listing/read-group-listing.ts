import { type Bdf, bdfKey, formatBdf, parseBdf, tryParseBdf } from '../bdf.ts';
import { TopologyError } from '../topology-error.ts';
import type { ListedGroup } from './listed-group.ts';

const ADDING_PATTERN = /\b([0-9a-f:]+\.[0-7]): Adding to iommu group (\d+)/iu;
const HEADING_PATTERN = /^\s*(?:IOMMU )?Group\s+(\d+)\b/iu;
const NAME_PATTERN = /(?:^|[\s/])((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])(?=\s|$)/iu;
const BLOCK_PATTERN = /\bIOMMU group:? (\d+)/u;
const DEVICE_PATTERN = /^((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]) \S/iu;

/**
 * The IOMMU groups that a text lists: `Group 3: ... 00:02.0` and `IOMMU Group 3:` listings, `lspci -v` output, boot logs
 * (`pci 0000:00:02.0: Adding to iommu group 3`).
 *
 * @throws TopologyError when the text lists no group
 */
export function readGroupListing(text: string): readonly ListedGroup[] {
  const groupOf = new Map<Bdf, number>();
  let heading: number | null = null;
  let device: Bdf | null = null;
  for (const line of text.split('\n')) {
    const adding = ADDING_PATTERN.exec(line);
    const header = DEVICE_PATTERN.exec(line);
    if (adding !== null) put(groupOf, adding[1] ?? '', Number(adding[2]));
    if (header !== null) device = nameOf(header[1] ?? '');
    const block = line.startsWith(' ') || line.startsWith('\t') ? BLOCK_PATTERN.exec(line) : null;
    if (block !== null && device !== null) {
      put(groupOf, device, Number(block[1]));
      continue;
    }
    const group = HEADING_PATTERN.exec(line)?.[1];
    if (group !== undefined) heading = Number(group);
    const name = heading === null ? null : NAME_PATTERN.exec(line);
    if (heading !== null && name !== null) put(groupOf, name[1] ?? '', heading);
  }
  if (groupOf.size === 0) {
    throw new TopologyError('expected IOMMU groups: no line such as "IOMMU Group 3:" or "IOMMU group: 3" found', {
      line: 1,
    });
  }
  return groupsOf(groupOf);
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

function put(groupOf: Map<Bdf, number>, name: string, group: number): void {
  const bdf = nameOf(name);
  if (bdf !== null && !groupOf.has(bdf)) groupOf.set(bdf, group);
}

function nameOf(name: string): Bdf | null {
  const parts = tryParseBdf(name);
  return parts === undefined ? null : formatBdf(parts);
}
