import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

const FILE = new URL('../../../data/pci.ids.gz', import.meta.url);

/** A line of the list and, by number, those one tab deeper below it. */
export interface IdEntry {
  readonly name: string;
  readonly children: ReadonlyMap<number, IdEntry>;
}

let text: string | undefined;
const sections = new Map<string, IdEntry | undefined>();

/**
 * The section of a vendor (`10de`) or of a class (`C 03`); `undefined` when the list does not have it. The list is unpacked at
 * the first call, a section is taken apart when it is first asked for.
 */
export function section(key: string): IdEntry | undefined {
  const known = sections.get(key);
  if (known !== undefined || sections.has(key)) return known;
  const found = readSection(key);
  sections.set(key, found);
  return found;
}

/** The whole list. */
export function pciIds(): string {
  text ??= gunzipSync(readFileSync(FILE)).toString('utf8');
  return text;
}

function readSection(key: string): IdEntry | undefined {
  const list = pciIds();
  const start = list.indexOf(`\n${key}  `) + 1;
  if (start === 0) return undefined;
  const end = /\n[^\t]/u.exec(list.slice(start));
  const [line = '', ...below] = list.slice(start, end === null ? undefined : start + end.index).split('\n');
  return entryOf(line, below);
}

function entryOf(line: string, below: readonly string[]): IdEntry {
  const children = new Map<number, IdEntry>();
  below.forEach((child, at) => {
    if (child.startsWith('\t\t')) return;
    const inner: string[] = [];
    for (let next = at + 1; below[next]?.startsWith('\t\t') === true; next++) inner.push(below[next]?.slice(1) ?? '');
    children.set(Number.parseInt(child.slice(1), 16), entryOf(child, inner));
  });
  return { name: line.slice(line.indexOf('  ') + 2), children };
}
