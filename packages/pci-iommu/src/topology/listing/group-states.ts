import type { Bdf } from '../bdf.ts';
import type { GroupEntry } from './group-lines.ts';

/** Groups of one state of a machine: a text may list several, of two kernels or from before and after something. */
export interface GroupState {
  /** Line where it starts. */
  readonly line: number;
  readonly groupOf: ReadonlyMap<Bdf, number>;
}

/** More are no listings of a machine. */
const MAX_STATES = 16;

/** Functions that one listing puts into groups. */
interface Section {
  readonly line: number;
  readonly form: string;
  readonly listing: number;
  readonly groupOf: Map<Bdf, number>;
}

/**
 * Sorts entries into states. A listing ends where the form changes or a function appears in another group; it belongs to a
 * state of which it lists a function in the same group and none in another, else to the first that it does not contradict.
 */
export function groupStates(entries: readonly GroupEntry[]): readonly GroupState[] {
  const states: Section[] = [];
  for (const section of sectionsOf(entries)) {
    const fitting = states.filter((state) => agreement(state, section) !== 'contradicts');
    const state = fitting.find((candidate) => agreement(candidate, section) === 'shares') ?? fitting[0];
    if (state !== undefined) {
      for (const [bdf, group] of section.groupOf) state.groupOf.set(bdf, group);
    } else if (states.length < MAX_STATES) states.push(section);
  }
  return states;
}

function sectionsOf(entries: readonly GroupEntry[]): readonly Section[] {
  const sections: Section[] = [];
  let open: Section | null = null;
  let run: GroupEntry[] = [];
  for (const entry of entries) {
    const { bdf, group, form, listing } = entry;
    const known = open?.groupOf.get(bdf);
    const contradicts = known !== undefined && known !== group;
    if (run[0]?.group !== group) run = [];
    if (open === null || open.form !== form || open.listing !== listing) run = [];
    if (open === null || open.form !== form || open.listing !== listing || contradicts) {
      // What stands right before in the same group belongs to the new listing already.
      for (const earlier of run) open?.groupOf.delete(earlier.bdf);
      const groupOf = new Map(run.map((earlier) => [earlier.bdf, earlier.group]));
      open = { line: run[0]?.line ?? entry.line, form, listing, groupOf };
      sections.push(open);
    }
    open.groupOf.set(bdf, group);
    run.push(entry);
  }
  return sections.filter(({ groupOf }) => groupOf.size > 0);
}

function agreement(state: Section, section: Section): 'shares' | 'is-apart' | 'contradicts' {
  let result: 'shares' | 'is-apart' = 'is-apart';
  for (const [bdf, group] of section.groupOf) {
    const known = state.groupOf.get(bdf);
    if (known === undefined) continue;
    if (known !== group) return 'contradicts';
    result = 'shares';
  }
  return result;
}
