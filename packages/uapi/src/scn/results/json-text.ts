/** Values of results: as JSON, but whole numbers of any size, and texts of bytes (one character each). */
export type ResultValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | readonly ResultValue[]
  | { readonly [key: string]: ResultValue };

const BIG = '$u64';

/** Writes a value as the results have it: no spaces, everything beyond printable ASCII escaped. */
export function writeJson(value: ResultValue): string {
  if (typeof value === 'string') return quote(value);
  if (Array.isArray(value)) return `[${value.map(writeJson).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([key, member]) => `${quote(key)}:${writeJson(member)}`);
    return `{${members.join(',')}}`;
  }
  return String(value);
}

/** Reads a value; whole numbers beyond 2^53 become bigints. @throws SyntaxError */
export function readJson(text: string): ResultValue {
  const exact = text.replaceAll(/"(?:[^"\\]|\\.)*"|-?\d{16,}/gs, (token) =>
    token.startsWith('"') ? token : `{"${BIG}":"${token}"}`,
  );
  return JSON.parse(exact, (_, value: unknown) =>
    typeof value === 'object' && value !== null && BIG in value ? BigInt(value[BIG] as string) : value,
  ) as ResultValue;
}

function quote(text: string): string {
  const escaped = text.replaceAll(/["\\]|[^ -~]/g, (char) => {
    if (char === '"' || char === '\\') return `\\${char}`;
    if (char === '\n') return '\\n';
    if (char === '\t') return '\\t';
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
  return `"${escaped}"`;
}
