import { readMachine, Topology } from '../topology/index.ts';
import { readRealDump } from '../topology/test-real-dumps.ts';
import type { IommuGroup } from './index.ts';

/** A listing of a real machine without the groups that it tells, and those groups. */
export interface StrippedListing {
  readonly topology: Topology;
  readonly listed: readonly string[];
}

/** Groups as text that can be compared: one line a group, whatever its number. */
export function partition(groups: Iterable<readonly string[]>): readonly string[] {
  const compare = (a: string, b: string): number => a.localeCompare(b);
  return [...groups].map((names) => names.toSorted(compare).join(' ')).toSorted(compare);
}

export function partitionOf(groups: readonly IommuGroup[]): readonly string[] {
  return partition(groups.map(({ functions }) => functions.map(({ bdf }) => bdf)));
}

/** Reads a listing twice: for its groups, and with every word of them taken out. */
export function stripListing(name: string): StrippedListing {
  const text = readRealDump(name);
  const rest = text.replaceAll(/^\s*IOMMU group: \d+\r?\n/gmu, '').replaceAll(/, IOMMU group \d+/gu, '');
  return {
    topology: new Topology(readMachine(rest).description),
    listed: partition((readMachine(text).listedGroups ?? []).map(({ devices }) => devices)),
  };
}
