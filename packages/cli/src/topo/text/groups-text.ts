import type { Style } from '@dmabuf-emu/stress';
import type { GroupDifference } from '@dmabuf-emu/pci-iommu';
import type { ChosenDevice } from '../choose-devices.ts';
import type { GroupComparison } from '../group-comparison.ts';
import type { MachineView } from '../machine-view.ts';
import { plural, printable, wrapped } from '../printable.ts';

const INDENT = '      ';

/** IOMMU groups: those with chosen devices and those of several functions; the rest is counted. @param all - every group */
export function groupsText(
  view: MachineView,
  devices: readonly ChosenDevice[],
  all: boolean,
  width: number,
  style: Style,
): readonly string[] {
  const labels = new Map(devices.map(({ fn, label }) => [fn, label]));
  const shown = view.groups.filter(
    ({ functions }) => all || functions.length > 1 || functions.some((fn) => labels.has(fn)),
  );
  const lines = shown.flatMap(({ id, functions, joins, restsOn }) => {
    const names = functions.map((fn) => {
      const label = labels.get(fn);
      return view.names.short(fn) + (label === undefined ? '' : ` ${label}`);
    });
    const why = all
      ? joins.map((join) => style.dim(`${INDENT}  ${view.names.short(join.function)}: ${join.text}`))
      : [];
    return [...listed(`${String(id).padStart(4)}${restsOn.length > 0 ? '? ' : '  '}`, names, width), ...why];
  });
  const hidden = view.groups.length - shown.length;
  const doubtful = shown.filter(({ restsOn }) => restsOn.length > 0).length;
  return [
    ...lines,
    ...(hidden === 0 ? [] : [style.dim(`${INDENT}and ${plural(hidden, 'group')} of one function: -v`)]),
    ...(doubtful === 0 ? [] : [style.warn(`${INDENT}? what is not told could make it another group`)]),
  ];
}

/** Names after a head, in lines of a width. */
function listed(head: string, names: readonly string[], width: number): readonly string[] {
  const lines: string[] = [];
  let line = head;
  names.forEach((name, i) => {
    const part = name + (i < names.length - 1 ? ',' : '');
    if (line.length + part.length > width && line.trim() !== '' && line !== head) {
      lines.push(line.trimEnd());
      line = INDENT;
    }
    line += `${part} `;
  });
  return [...lines, line.trimEnd()];
}

/** Where groups differ from a listing, and why. */
export function comparisonText(
  comparison: GroupComparison,
  source: string,
  width: number,
  style: Style,
): readonly string[] {
  const { equal, differences } = comparison;
  const head = `${equal} of ${plural(comparison.listed, 'group')} of ${printable(source)} are the same here`;
  if (differences.length === 0) return [style.good(head)];
  const oneSided = (kind: GroupDifference['kind'], title: string): readonly string[] => {
    const names = differences.filter((difference) => difference.kind === kind).flatMap(({ functions }) => functions);
    if (names.length === 0) return [];
    return ['', style.bold(title), ...listed(`  ${plural(names.length, 'function')}: `, names, width)];
  };
  return [
    style.bad(head),
    ...differences
      .filter(({ kind }) => kind !== 'not-listed' && kind !== 'not-in-machine')
      .flatMap((difference) => differenceText(difference, width, style)),
    ...oneSided('not-listed', 'in the machine, not in the listing'),
    ...oneSided('not-in-machine', 'in the listing, not in the machine or not behind its IOMMU'),
  ];
}

const KINDS: Readonly<Record<GroupDifference['kind'], string>> = {
  joined: 'one group here, several in the listing',
  parted: 'several groups here, one in the listing',
  mixed: 'groups that overlap',
  'not-listed': 'in the machine only',
  'not-in-machine': 'in the listing only',
};

function differenceText(difference: GroupDifference, width: number, style: Style): readonly string[] {
  return [
    '',
    style.bold(KINDS[difference.kind]),
    ...difference.listed.flatMap(({ id, devices }) => listed(`  listed  ${String(id).padStart(3)}: `, devices, width)),
    ...difference.computed.flatMap((functions) => listed('  here         ', functions, width)),
    ...difference.why.flatMap((reason) => wrapped(`  why     ${printable(reason)}`, width, '          ')),
  ];
}
