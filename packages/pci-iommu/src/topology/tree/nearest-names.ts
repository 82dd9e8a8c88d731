const SHOWN = 5;

/** The few names that are most like the wanted one: longest common beginning first, then in their own order. */
export function nearestNames(wanted: string, names: readonly string[]): readonly string[] {
  return names
    .map((name, order) => ({ name, order, common: commonPrefix(wanted, name) }))
    .toSorted((a, b) => b.common - a.common || a.order - b.order)
    .slice(0, SHOWN)
    .map((candidate) => candidate.name);
}

function commonPrefix(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}
