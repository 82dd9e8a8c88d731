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

  /** Everything as UTF-8 text. */
  get text(): string {
    this.#text ??= new TextDecoder().decode(this.bytes);
    return this.#text;
  }

  /** The first characters that are no blanks, to tell formats apart. */
  get start(): string {
    return new TextDecoder().decode(this.bytes.subarray(0, PROBE_CHARACTERS)).trimStart();
  }
}

const PROBE_CHARACTERS = 4096;
