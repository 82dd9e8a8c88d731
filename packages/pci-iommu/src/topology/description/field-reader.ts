import { TopologyError } from '../topology-error.ts';

const HEX_PATTERN = /^0x[0-9a-f]+$/iu;

/**
 * Reads the fields of one JSON object strictly: each reader names the field, says what it expected and what it found;
 * {@link FieldReader.end} refuses fields that nobody asked for.
 */
export class FieldReader {
  readonly #object: Readonly<Record<string, unknown>>;
  readonly #path: string;
  readonly #seen = new Set<string>();

  constructor(value: unknown, path: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new TopologyError(`expected an object, got ${describeValue(value)}`, { path });
    }
    this.#object = value as Readonly<Record<string, unknown>>;
    this.#path = path;
  }

  /** Whether the field is there (`undefined` counts as missing). */
  has(field: string): boolean {
    return this.#object[field] !== undefined;
  }

  /** The raw value; marks the field as read. */
  raw(field: string): unknown {
    this.#seen.add(field);
    return this.#object[field];
  }

  /** Path of a field, for messages. */
  pathOf(field: string): string {
    return this.#path === '' ? field : `${this.#path}.${field}`;
  }

  /** Reports a problem with a field. */
  fail(field: string, expected: string): never {
    throw new TopologyError(`expected ${expected}, got ${describeValue(this.#object[field])}`, {
      path: this.pathOf(field),
    });
  }

  text(field: string): string {
    const value = this.raw(field);
    if (typeof value !== 'string' || value === '') this.fail(field, 'a text that is not empty');
    return value;
  }

  flag(field: string): boolean {
    const value = this.raw(field);
    if (typeof value !== 'boolean') this.fail(field, 'true or false');
    return value;
  }

  /** A whole number in 0..`max`; hex strings (`"0x10de"`) are read too. */
  whole(field: string, max: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.raw(field);
    const number = typeof value === 'string' && HEX_PATTERN.test(value) ? Number(value) : value;
    if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 0 || number > max) {
      this.fail(field, `a whole number from 0 to 0x${max.toString(16)} (or a hex string such as "0x10de")`);
    }
    return number;
  }

  wholeOrNull(field: string, max: number): number | null {
    return this.raw(field) === null ? null : this.whole(field, max);
  }

  /** A whole number that may be negative; hex strings are read too. */
  signed(field: string): number {
    const value = this.raw(field);
    const number = typeof value === 'string' && HEX_PATTERN.test(value) ? Number(value) : value;
    if (typeof number !== 'number' || !Number.isSafeInteger(number)) {
      this.fail(field, 'a whole number below 2^53 (or a hex string such as "0x10de")');
    }
    return number;
  }

  oneOf<const T extends string>(field: string, allowed: readonly T[]): T {
    const value = this.raw(field);
    const found = allowed.find((candidate) => candidate === value);
    if (found === undefined) this.fail(field, `one of ${allowed.join(', ')}`);
    return found;
  }

  list(field: string): readonly unknown[] {
    const value = this.raw(field);
    if (!Array.isArray(value)) this.fail(field, 'a list');
    return value;
  }

  /** Reads each item of a list. */
  each<T>(field: string, read: (item: unknown, path: string) => T): readonly T[] {
    const base = this.pathOf(field);
    return this.list(field).map((item, index) => read(item, `${base}[${index}]`));
  }

  /** Refuses fields that were not read: a misspelt field must not be a silent default. */
  end(): void {
    for (const field of Object.keys(this.#object)) {
      if (!this.#seen.has(field) && this.#object[field] !== undefined) {
        throw new TopologyError(`unknown field; expected ${[...this.#seen].join(', ')}`, {
          path: this.pathOf(field),
        });
      }
    }
  }
}

function describeValue(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  return JSON.stringify(value) ?? typeof value;
}
