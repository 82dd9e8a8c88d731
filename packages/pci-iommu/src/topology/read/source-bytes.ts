/** The bytes that a reader is given, and their text. */
export class SourceBytes {
  readonly name: string;
  readonly bytes: Uint8Array;
  #text: string | null;

  constructor(input: string | Uint8Array, name: string) {
    this.name = name;
    this.bytes = typeof input === 'string' ? new TextEncoder().encode(input.slice(0, PROBE_CHARACTERS)) : input;
    this.#text = typeof input === 'string' ? input : null;
  }

  /** Everything as text: UTF-8, or UTF-16 when it starts with that mark (as shells on Windows write it). */
  get text(): string {
    this.#text ??= decoded(this.bytes, this.bytes.length);
    return this.#text;
  }

  /** The first characters that are no blanks, to tell formats apart. */
  get start(): string {
    return decoded(this.bytes, PROBE_CHARACTERS).trimStart();
  }
}

const PROBE_CHARACTERS = 4096;

function decoded(bytes: Uint8Array, length: number): string {
  const little = bytes[0] === 0xff && bytes[1] === 0xfe;
  const big = bytes[0] === 0xfe && bytes[1] === 0xff;
  return new TextDecoder(little ? 'utf-16le' : big ? 'utf-16be' : 'utf-8').decode(bytes.subarray(0, length));
}
