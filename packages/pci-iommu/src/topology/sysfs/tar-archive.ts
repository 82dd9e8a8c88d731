import { TopologyError } from '../topology-error.ts';

/** A file or a symbolic link of an archive. */
export interface TarEntry {
  /** Without leading `./` or `/`. */
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Where a symbolic link leads; `null` for files. */
  readonly target: string | null;
}

const BLOCK = 512;
const MAX_LENGTH_DIGITS = 16;
const MAGIC_AT = 257;
const MAGIC = 'ustar';

const TypeFlag = { File: '0', OldFile: '\0', SymbolicLink: '2', LongName: 'L', LongLink: 'K', Pax: 'x' } as const;

/** Whether the bytes begin with the header of a tar archive. */
export function isTar(bytes: Uint8Array): boolean {
  return bytes.length >= BLOCK && textAt(bytes, MAGIC_AT, MAGIC.length) === MAGIC;
}

/**
 * Files and symbolic links of a tar archive: the formats ustar, GNU and pax.
 *
 * @throws TopologyError when it is cut off or damaged
 */
export function readTar(bytes: Uint8Array): readonly TarEntry[] {
  const entries: TarEntry[] = [];
  // What the next header is told by those before it, which hold what does not fit.
  let longer: { path?: string; target?: string; size?: number } = {};
  for (let at = 0; at + BLOCK <= bytes.length && bytes[at] !== 0;) {
    const entry = at;
    const header = bytes.subarray(at, at + BLOCK);
    const size = longer.size ?? numberAt(header, 124, 12, entry);
    const body = bytes.subarray(at + BLOCK, at + BLOCK + size);
    if (body.length < size) throw new TopologyError(`archive is cut off: ${size} bytes expected at ${at + BLOCK}`);
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
    const flag = String.fromCodePoint(header[156] ?? 0);
    if (flag === TypeFlag.LongName) longer = { ...longer, path: textAt(body, 0, size) };
    else if (flag === TypeFlag.LongLink) longer = { ...longer, target: textAt(body, 0, size) };
    else if (flag === TypeFlag.Pax) longer = { ...longer, ...readPax(body, entry) };
    else {
      const path = plainPath(longer.path ?? nameIn(header));
      const target = longer.target ?? textAt(header, 157, 100);
      if (flag === TypeFlag.SymbolicLink) entries.push({ path, bytes: new Uint8Array(0), target });
      if (flag === TypeFlag.File || flag === TypeFlag.OldFile) entries.push({ path, bytes: body, target: null });
      longer = {};
    }
  }
  return entries;
}

/** Name of an entry; in ustar the front part of a long one stands elsewhere. */
function nameIn(header: Uint8Array): string {
  const name = textAt(header, 0, 100);
  const prefix = textAt(header, MAGIC_AT, 6) === MAGIC ? textAt(header, 345, 155) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

function plainPath(path: string): string {
  return path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}

/** Records `LENGTH KEY=VALUE\n`. */
function readPax(body: Uint8Array, entry: number): { path?: string; target?: string; size?: number } {
  const found: { path?: string; target?: string; size?: number } = {};
  for (let at = 0; at < body.length;) {
    const length = Number.parseInt(textAt(body, at, MAX_LENGTH_DIGITS), 10);
    if (!(length > 0)) break;
    const record = new TextDecoder().decode(body.subarray(at, at + length - 1));
    const [key, value] = splitAt(record.slice(record.indexOf(' ') + 1), '=');
    if (key === 'path') found.path = value;
    if (key === 'linkpath') found.target = value;
    if (key === 'size') found.size = checkedSize(Number(value), entry);
    at += length;
  }
  return found;
}

function splitAt(text: string, mark: string): readonly [string, string] {
  const at = text.indexOf(mark);
  return [text.slice(0, at), text.slice(at + 1)];
}

function numberAt(header: Uint8Array, at: number, length: number, entry: number): number {
  const digits = textAt(header, at, length).trim();
  return checkedSize(Number.parseInt(digits === '' ? '0' : digits, 8), entry + at);
}

function checkedSize(size: number, at: number): number {
  if (!Number.isSafeInteger(size) || size < 0) throw new TopologyError(`archive is damaged: no size at ${at}`);
  return size;
}

function textAt(bytes: Uint8Array, at: number, length: number): string {
  const field = bytes.subarray(at, at + length);
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}
