import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

interface Tag {
  readonly name: string;
  readonly symbol: string;
  readonly file: string;
  readonly line: number;
}
interface Lists {
  readonly symbols: readonly { header: string; name: string; kind: string }[];
  readonly answers: Readonly<Record<string, string>>;
  readonly otherNames: readonly string[];
}

const { scanTags, tagsOf } = (await import(new URL('scan-tags.mjs', import.meta.url).href)) as {
  scanTags: (root: string) => Tag[];
  tagsOf: (text: string) => Omit<Tag, 'file'>[];
};
const { findProblems, readLists, renderPage } = (await import(new URL('kernel-map.mjs', import.meta.url).href)) as {
  findProblems: (tags: readonly Tag[], lists: Lists) => string[];
  readLists: () => Lists;
  renderPage: (root: string, tags: readonly Tag[], lists: Lists) => string;
};

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('this repository', () => {
  const tags = scanTags(root);

  test('has an answer for every symbol, and tags that name what the kernel has', () => {
    expect(findProblems(tags, readLists())).toEqual([]);
  });

  test('shows its answers: node tools/kernel-map/run.mjs', () => {
    expect(readFileSync(`${root}docs/kernel-map.md`, 'utf8')).toBe(renderPage(root, tags, readLists()));
  });

  test('has every `@kernel` of its sources in a doc comment', () => {
    const found = new Set(tags.map(({ file, line }) => `${file}:${line}`));
    const written = [...new Set(tags.map(({ file }) => file))].flatMap((file) =>
      readFileSync(`${root}${file}`, 'utf8')
        .split('\n')
        .flatMap((text, index) => (text.includes('@kernel ') ? [`${file}:${index + 1}`] : [])),
    );
    expect(written.filter((place) => !found.has(place))).toEqual([]);
  });
});

describe('tags', () => {
  test('belong to what is declared below them', () => {
    const text = `
/** A file. @kernel file, struct inode */
export class File {
  /** @kernel fget @throws KernelError EBADF */
  static get(fd: number): File {}

  /** Nothing. @kernel fput */
  #drop(): void {}

  /**
   * A list that goes on.
   * @kernel f_op,
   *   f_pos
   */
  readonly ops: number;
}

/** @kernel F_DUPFD */
const DUP = 1;
`;
    expect(tagsOf(text).map(({ name, symbol, line }) => `${line} ${name}: ${symbol}`)).toEqual([
      '2 file: File',
      '2 inode: File',
      '4 fget: File.get',
      '7 fput: File.#drop',
      '12 f_op: File.ops',
      '12 f_pos: File.ops',
      '18 F_DUPFD: DUP',
    ]);
  });
});

describe('problems', () => {
  const tag = (name: string): Tag => ({ name, symbol: 'x', file: 'a.ts', line: 7 });
  const symbol = (name: string) => ({ header: 'h', name, kind: 'function' });

  test.each<[string, string[], Partial<Lists>, string]>([
    ['a symbol without an answer', [], { symbols: [symbol('fput')] }, 'fput has neither a tag nor an answer'],
    [
      'an answer beside a tag',
      ['fput'],
      { symbols: [symbol('fput')], answers: { fput: 'no files' } },
      'fput has a tag: its answer must go',
    ],
    ['an answer for nothing', [], { answers: { fput: 'no files' } }, 'answers.json: fput is no symbol'],
    ['a tag for nothing', ['fptu'], {}, "a.ts:7: 'fptu' is no known name of the kernel"],
    [
      'a name in two lists',
      ['fput'],
      { symbols: [symbol('fput')], otherNames: ['fput'] },
      'other-names.txt: fput is in symbols.json',
    ],
  ])('%s', (_, names, lists, problem) => {
    expect(findProblems(names.map(tag), { symbols: [], answers: {}, otherNames: [], ...lists })).toEqual([problem]);
  });
});
