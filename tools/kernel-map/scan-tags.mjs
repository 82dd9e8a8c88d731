// Finds the `@kernel` tags of the packages' sources: which TypeScript symbol stands for which name of the kernel.
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

/** Code of a package that is neither a test nor made for tests. */
const isSource = (file) =>
  file.endsWith('.ts') && !/\.test\.ts$|\.test-worker\.ts$|\.fixture\.ts$|\/test-[^/]*$/.test(file);

/**
 * Every tag below `root`/packages, in the order of the files.
 * @returns {{ name: string, symbol: string, file: string, line: number }[]} name of the kernel, symbol as `Class.member`
 */
export function scanTags(root) {
  const tags = [];
  for (const folder of readdirSync(join(root, 'packages')).toSorted()) {
    let files;
    try {
      files = readdirSync(join(root, 'packages', folder, 'src'), { recursive: true });
    } catch (error) {
      if (error.code === 'ENOENT') continue;
      throw error;
    }
    for (const name of files.toSorted()) {
      const path = join(root, 'packages', folder, 'src', name);
      if (!isSource(path)) continue;
      const file = relative(root, path);
      for (const tag of tagsOf(readFileSync(path, 'utf8'))) tags.push({ ...tag, file });
    }
  }
  return tags;
}

/** The tags of one source text. @returns {{ name: string, symbol: string, line: number }[]} */
export function tagsOf(text) {
  const lines = text.split('\n');
  const tags = [];
  let outer = '';
  for (let at = 0; at < lines.length; at++) {
    const top = declaredBy(lines[at]);
    if (top !== '' && !/^\s/.test(lines[at])) outer = top;
    const start = lines[at].indexOf('/**');
    if (start === -1) continue;
    let end = at;
    while (!lines[end].includes('*/')) end++;
    const comment = lines.slice(at, end + 1);
    const symbol = symbolAfter(lines, end + 1, /^\s/.test(lines[at]) ? outer : '');
    const names = namesOf(
      comment.map((line) => line.replace(/^\s*(?:\/\*\*|\*(?!\/))\s?/, '').replace(/\s*\*\/.*$/, '')),
    );
    for (const { name, line } of names) tags.push({ name, symbol, line: at + line + 1 });
    at = end;
  }
  return tags;
}

/** What a comment's tags name. A list goes on in the next line after a comma at the end of one. */
function namesOf(comment) {
  const names = [];
  for (let line = 0; line < comment.length; line++) {
    for (const match of comment[line].matchAll(/@kernel\s+(.*?)\s*(?=@\w|$)/g)) {
      let [list, last] = [match[1], line];
      while (list.endsWith(',') && last + 1 < comment.length) list += ` ${comment[++last].trim()}`;
      for (const name of list.split(/,\s*/)) {
        names.push({ name: name.replace(/^(?:struct|enum|union) /, '').replace(/\.$/, ''), line });
      }
    }
  }
  return names;
}

/** The name that the first line of code from `at` on declares, below `outer`. */
function symbolAfter(lines, at, outer) {
  while (at < lines.length && /^\s*(?:\/\/|\/\*|\*|$)/.test(lines[at])) at++;
  const name = declaredBy(lines[at] ?? '');
  if (outer === '') return name;
  return name === '' ? outer : `${outer}.${name}`;
}

function declaredBy(line) {
  const declaration =
    /^\s*(?:export )?(?:declare )?(?:abstract )?(?:async )?(?:function\*?|const|let|class|interface|type|enum) (\w+)/.exec(
      line,
    ) ??
    /^\s+(?:(?:public|protected|private|static|readonly|abstract|override|async|get|set) )*\*?(#?\w+)\??\s*[(:<=,;]/.exec(
      line,
    ) ??
    /^\s+\[(Symbol\.\w+)\]/.exec(line) ??
    /^\s+'([\w-]+)'/.exec(line);
  return declaration?.[1] ?? '';
}
