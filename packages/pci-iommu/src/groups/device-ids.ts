/** Device ids from text such as `10c6 10f7-10fc`. */
export function deviceIds(text: string): ReadonlySet<number> {
  const ids = new Set<number>();
  for (const part of text.split(' ')) {
    const [first = 0, last = first] = part.split('-').map((digits) => Number.parseInt(digits, 16));
    for (let id = first; id <= last; id++) ids.add(id);
  }
  return ids;
}
