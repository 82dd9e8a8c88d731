import type { Mem } from '../memory/mem.ts';
import type { Field } from './field.ts';

/** What a struct declaration knows of itself. */
export interface StructInfo {
  readonly $name: string;
  /** Size of a slot in words, header included. */
  readonly $words: number;
  readonly $fields: readonly (readonly [name: string, field: Field])[];
  /** Field values of the slot at word `p`, for debuggers and reports. */
  $dump(mem: Mem, p: number): Record<string, unknown>;
}

/** A declared struct: `S.field` gives typed access, `S.field.at` the word offset. */
export type Struct<F extends Record<string, Field> = Record<string, Field>> = StructInfo & F;

/**
 * Declares a struct of the arena. Word 0 is the slot's header (generation and 22 bits for the owner's use); fields follow in
 * the order given, aligned to their size.
 * @throws RangeError when a field name starts with `$`.
 */
export function struct<F extends Record<string, Field>>(name: string, fields: F): Struct<F> {
  let at = 1;
  const laid: [string, Field][] = [];
  for (const [key, declared] of Object.entries(fields)) {
    if (key.startsWith('$')) throw new RangeError(`struct ${name}: field names must not start with $, got ${key}`);
    const field = declared.clone();
    at = Math.ceil(at / field.align) * field.align;
    field.at = at;
    at += field.words;
    laid.push([key, field]);
  }
  const info: StructInfo = {
    $name: name,
    $words: Math.max(4, at + (at & 1)),
    $fields: laid,
    $dump: (mem, p) => Object.fromEntries(laid.map(([key, field]) => [key, field.show(mem, p)])),
  };
  return Object.freeze(Object.assign(Object.fromEntries(laid), info)) as Struct<F>;
}
