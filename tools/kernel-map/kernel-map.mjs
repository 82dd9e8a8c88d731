// Which TypeScript symbol stands for which symbol of the kernel: the page, and what is wrong with tags and answers.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const text = (name) => readFileSync(new URL(name, import.meta.url), 'utf8');

/** Names and answers as this folder has them. */
export function readLists() {
  return {
    symbols: JSON.parse(text('symbols.json')),
    answers: JSON.parse(text('answers.json')),
    otherNames: text('other-names.txt')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#')),
  };
}

/** Everything that is wrong, a line each. */
export function findProblems(tags, { symbols, answers, otherNames }) {
  const problems = [];
  const tagged = new Set(tags.map(({ name }) => name));
  const known = new Set(symbols.map(({ name }) => name));
  const others = new Set(otherNames);
  for (const { name } of symbols) {
    if (!tagged.has(name) && !Object.hasOwn(answers, name)) problems.push(`${name} has neither a tag nor an answer`);
    if (tagged.has(name) && Object.hasOwn(answers, name)) problems.push(`${name} has a tag: its answer must go`);
  }
  for (const name of Object.keys(answers)) if (!known.has(name)) problems.push(`answers.json: ${name} is no symbol`);
  for (const { name, file, line } of tags)
    if (!known.has(name) && !others.has(name))
      problems.push(`${file}:${line}: '${name}' is no known name of the kernel`);
  for (const name of others) if (known.has(name)) problems.push(`other-names.txt: ${name} is in symbols.json`);
  return problems;
}

/** The page, by header. */
export function renderPage(root, tags, { symbols, answers }) {
  const headers = [...new Set(symbols.map(({ header }) => header))];
  const answered = symbols.filter(({ name }) => Object.hasOwn(answers, name));
  const later = answered.filter(({ name }) => answers[name].startsWith('later'));
  const head = [
    '# The kernel, by symbol',
    '',
    'What stands for each symbol of the kernel that drivers and programs see of dma-bufs. Written by',
    '`node tools/kernel-map/run.mjs` from the `@kernel` tags of the sources and from `tools/kernel-map/answers.json`.',
    '',
    `${symbols.length} symbols: ${symbols.length - answered.length} have a TypeScript twin, ${answered.length - later.length} need none, ${later.length} come later.`,
    '',
  ];
  const sections = headers.flatMap((header) => [
    `## ${header}`,
    '',
    '| symbol | kind | TypeScript |',
    '| --- | --- | --- |',
    ...symbols
      .filter((symbol) => symbol.header === header)
      .map(({ name, kind }) => `| \`${name}\` | ${kind} | ${answers[name] ?? twins(root, tags, name)} |`),
    '',
  ]);
  return [...head, ...sections].join('\n');
}

/** Public twins; private ones where there are none. */
function twins(root, tags, name) {
  const all = tags.filter((tag) => tag.name === name);
  const visible = all.filter(({ file }) => !file.includes('/internal/') && isExported(root, file));
  const links = (visible.length > 0 ? visible : all).map(({ symbol, file }) => `[\`${symbol}\`](../${file})`);
  return [...new Set(links)].join(', ');
}

/** Whether a package shows what the file declares. */
function isExported(root, file) {
  const folder = file.split('/').slice(0, 3).join('/');
  return (exports.get(folder) ?? collect(root, folder)).has(file);
}

const exports = new Map();

/** Files that are re-exported, from the package's index on. */
function collect(root, folder) {
  const files = new Set();
  const visit = (file) => {
    if (files.has(file)) return;
    files.add(file);
    if (!file.endsWith('index.ts')) return;
    for (const [, from] of readFileSync(join(root, file), 'utf8').matchAll(/from '(\.[^']+)'/g))
      visit(join(file, '..', from));
  };
  visit(`${folder}/index.ts`);
  exports.set(folder, files);
  return files;
}
