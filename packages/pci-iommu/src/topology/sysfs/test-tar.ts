/** What goes into an archive: contents of a file, or where a link leads. */
export type TarContent = string | Uint8Array | { readonly target: string };

const BLOCK = 512;
const encoder = new TextEncoder();

/** A tar archive with these entries. Names that do not fit are written as GNU or as pax does. */
export function makeTar(
  entries: Readonly<Record<string, TarContent>>,
  long: 'gnu' | 'pax' | 'ustar' = 'gnu',
): Uint8Array {
  const blocks = Object.entries(entries).flatMap(([path, content]) => {
    const target = typeof content === 'object' && 'target' in content ? content.target : '';
    const bytes =
      typeof content === 'string'
        ? encoder.encode(content)
        : target === ''
          ? (content as Uint8Array)
          : new Uint8Array(0);
    const type = target === '' ? '0' : '2';
    const fits = path.length <= 100 && target.length <= 100;
    if (!fits && long === 'gnu') {
      const extra = [...entry('././@LongLink', '', encoder.encode(`${path}\0`), 'L')];
      if (target.length > 100) extra.push(...entry('././@LongLink', '', encoder.encode(`${target}\0`), 'K'));
      return [...extra, ...entry(path.slice(0, 100), target.slice(0, 100), bytes, type)];
    }
    if (!fits && long === 'pax') {
      const records = paxRecord('path', path) + (target === '' ? '' : paxRecord('linkpath', target));
      return [...entry('PaxHeaders/x', '', encoder.encode(records), 'x'), ...entry('x', 'y', bytes, type)];
    }
    return entry(path, target, bytes, type);
  });
  const size = blocks.reduce((sum, block) => sum + block.length, 0);
  const archive = new Uint8Array(size + 2 * BLOCK);
  let at = 0;
  for (const block of blocks) {
    archive.set(block, at);
    at += block.length;
  }
  return archive;
}

function entry(path: string, target: string, bytes: Uint8Array, type: string): Uint8Array[] {
  const header = new Uint8Array(BLOCK);
  const put = (at: number, text: string): void => header.set(encoder.encode(text), at);
  const cut = path.length <= 100 ? 0 : path.indexOf('/', path.length - 101) + 1;
  put(0, path.slice(cut));
  if (cut > 0) put(345, path.slice(0, cut - 1));
  put(124, `${bytes.length.toString(8).padStart(11, '0')}\0`);
  put(156, type);
  put(157, target);
  put(257, 'ustar\0');
  const padded = new Uint8Array(Math.ceil(bytes.length / BLOCK) * BLOCK);
  padded.set(bytes);
  return [header, padded];
}

function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const digits = String(rest.length + String(rest.length).length).length;
  return `${rest.length + digits}${rest}`;
}
