import { type Bdf, bdfKey, type ListedGroup, parseBdf } from '../topology/index.ts';
import type { IommuGroup } from './iommu-groups.ts';

/** One place where computed groups and those of a real kernel are not the same. */
export interface GroupDifference {
  /**
   * `joined`: computed as one what is listed as several; `parted`: the other way round; `mixed`: both; `not-listed` and
   * `not-in-machine`: a function that one side does not have.
   */
  readonly kind: 'joined' | 'parted' | 'mixed' | 'not-listed' | 'not-in-machine';
  /** All functions concerned. */
  readonly functions: readonly Bdf[];
  readonly computed: readonly (readonly Bdf[])[];
  readonly listed: readonly ListedGroup[];
  /** What is behind it, one sentence each. */
  readonly why: readonly string[];
}

/**
 * Compares computed groups with those that a real kernel listed. Numbers do not count, only who is with whom.
 *
 * @returns every difference with its reasons; empty when the partitions are the same
 */
export function groupDifferences(
  computed: readonly IommuGroup[],
  listed: readonly ListedGroup[],
): readonly GroupDifference[] {
  const mine = new Map(computed.flatMap((group) => group.functions.map(({ bdf }) => [bdf, group] as const)));
  const theirs = new Map(listed.flatMap((group) => group.devices.map((bdf) => [bdf, group] as const)));
  const both = [...mine.keys()].filter((bdf) => theirs.has(bdf));
  const differences: GroupDifference[] = [];
  const seen = new Set<Bdf>();
  for (const bdf of both) {
    if (seen.has(bdf)) continue;
    const part = connected(bdf, mine, theirs);
    for (const member of part) seen.add(member);
    const groups = [...new Set(part.map((member) => mine.get(member)!))];
    const lists = [...new Set(part.map((member) => theirs.get(member)!))];
    if (groups.length > 1 || lists.length > 1) differences.push(differ(part, groups, lists));
  }
  return [...differences, ...oneSided(mine, theirs)];
}

/** Functions that are with each other on one side or the other, directly or by way of third ones. */
function connected(
  from: Bdf,
  mine: ReadonlyMap<Bdf, IommuGroup>,
  theirs: ReadonlyMap<Bdf, ListedGroup>,
): readonly Bdf[] {
  const part = new Set([from]);
  for (const bdf of part) {
    for (const { bdf: other } of mine.get(bdf)?.functions ?? []) if (theirs.has(other)) part.add(other);
    for (const other of theirs.get(bdf)?.devices ?? []) if (mine.has(other)) part.add(other);
  }
  return sorted(part);
}

function differ(
  functions: readonly Bdf[],
  groups: readonly IommuGroup[],
  listed: readonly ListedGroup[],
): GroupDifference {
  const kind = listed.length === 1 ? 'parted' : groups.length === 1 ? 'joined' : 'mixed';
  const computed = groups.map((group) => sorted(group.functions.map(({ bdf }) => bdf)));
  return { kind, functions, computed, listed, why: [...reasons(groups, listed), ...unknowns(groups)] };
}

/** For what was joined: why. For what was parted: that nothing in the description joins it. */
function reasons(groups: readonly IommuGroup[], listed: readonly ListedGroup[]): readonly string[] {
  const listOf = new Map(listed.flatMap((list) => list.devices.map((bdf) => [bdf, list] as const)));
  const joined = new Map<string, Bdf[]>();
  for (const { functions, joins } of groups) {
    for (const { function: fn, text } of joins) {
      const own = listOf.get(fn.bdf);
      const apart = functions.some(({ bdf }) => listOf.has(bdf) && listOf.get(bdf) !== own);
      if (own !== undefined && apart) joined.set(text, [...(joined.get(text) ?? []), fn.bdf]);
    }
  }
  const parted = listed
    .map((list) => groups.filter((group) => group.functions.some(({ bdf }) => list.devices.includes(bdf))))
    .filter((parts) => parts.length > 1)
    .map((parts) => some(parts.map(({ functions }) => functions[0]?.bdf ?? '')));
  return [
    ...[...joined].map(([text, names]) => `${some(names)} joined: ${text}`),
    ...(joined.size > 0 ? ['the kernel that made the list kept them apart'] : []),
    ...parted.map(
      (names) => `nothing in the description joins ${names}; the kernel that made the list did not isolate them`,
    ),
  ];
}

const SHOWN = 3;

/** The first of some names, and how many more there are. */
function some(names: readonly string[]): string {
  const more = names.length - SHOWN;
  return `${names.slice(0, SHOWN).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function unknowns(groups: readonly IommuGroup[]): readonly string[] {
  const open = new Set(groups.flatMap(({ restsOn }) => restsOn));
  return open.size === 0 ? [] : [`it rests on what is not known: ${[...open].join(', ')}`];
}

function oneSided(
  mine: ReadonlyMap<Bdf, IommuGroup>,
  theirs: ReadonlyMap<Bdf, ListedGroup>,
): readonly GroupDifference[] {
  const notListed = sorted([...mine.keys()].filter((bdf) => !theirs.has(bdf)));
  const notHere = sorted([...theirs.keys()].filter((bdf) => !mine.has(bdf)));
  return [
    ...notListed.map((bdf): GroupDifference => ({
      kind: 'not-listed',
      functions: [bdf],
      computed: [sorted(mine.get(bdf)!.functions.map((fn) => fn.bdf))],
      listed: [],
      why: ['the list does not have it: it was not there, or no IOMMU sees it'],
    })),
    ...notHere.map((bdf): GroupDifference => ({
      kind: 'not-in-machine',
      functions: [bdf],
      computed: [],
      listed: [theirs.get(bdf)!],
      why: ['the machine does not have it, or no IOMMU sees it: the list was made at another time'],
    })),
  ];
}

function sorted(names: Iterable<Bdf>): readonly Bdf[] {
  return [...names].toSorted((a, b) => bdfKey(parseBdf(a)) - bdfKey(parseBdf(b)));
}
