import type { ChosenDevice } from '../choose-devices.ts';
import type { P2pTable } from '../machine-view.ts';
import { cellText } from './cell-text.ts';

/** Devices of one category with the same answers towards all others, and one answer among themselves. */
export interface Twins {
  /** `NVME1-4`, `DEV0+7`; the device's own label when it has no twins. */
  readonly label: string;
  readonly devices: readonly ChosenDevice[];
  /** Places of two of them in the table; the same place twice when there is only one. */
  readonly sample: readonly [number, number];
}

/** Every device by itself. */
export function singles({ devices }: P2pTable): readonly Twins[] {
  return devices.map((device, i) => ({ label: device.label, devices: [device], sample: [i, i] }));
}

/** Devices put together as far as they are twins, in the order of the first of each. */
export function foldedTwins(table: P2pTable): readonly Twins[] {
  const { devices } = table;
  const texts = devices.map((_, row) => devices.map((_device, column) => cellText(table.at(row, column))));
  const classes: number[][] = [];
  for (const [i, device] of devices.entries()) {
    const mine = classes.find(([first]) => devices[first!]!.category === device.category && areTwins(texts, first!, i));
    if (mine === undefined) classes.push([i]);
    else mine.push(i);
  }
  return classes.map((places) => {
    const members = places.map((place) => devices[place]!);
    return { label: labelOf(members), devices: members, sample: [places[0]!, places[1] ?? places[0]!] };
  });
}

function areTwins(texts: readonly (readonly string[])[], a: number, b: number): boolean {
  if (texts[a]![b] !== texts[b]![a]) return false;
  return texts.every((row, k) => k === a || k === b || (row[a] === row[b] && texts[a]![k] === texts[b]![k]));
}

const NUMBERED = /^(?<prefix>.*?)(?<number>\d+)$/u;

function labelOf(members: readonly ChosenDevice[]): string {
  const first = members[0]!;
  if (members.length === 1) return first.label;
  const numbers = members.map(({ label }) => NUMBERED.exec(label)?.groups);
  const start = Number(numbers[0]?.['number']);
  const inARow = numbers.every(
    (each, i) => each?.['prefix'] === numbers[0]?.['prefix'] && Number(each?.['number']) === start + i,
  );
  return inARow ? `${first.label}-${start + members.length - 1}` : `${first.label}+${members.length - 1}`;
}
