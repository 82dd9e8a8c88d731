/** One member of a struct that programs and the kernel share: little-endian, aligned to its size. */
export interface AbiField<T> {
  readonly size: number;
  readonly align: number;
  get(view: DataView, at: number): T;
  set(view: DataView, at: number, value: T): void;
}

/** @kernel __u32 */
export const u32: AbiField<number> = {
  size: 4,
  align: 4,
  get: (view, at) => view.getUint32(at, true),
  set: (view, at, value) => view.setUint32(at, value, true),
};

/** @kernel __s32 */
export const s32: AbiField<number> = {
  size: 4,
  align: 4,
  get: (view, at) => view.getInt32(at, true),
  set: (view, at, value) => view.setInt32(at, value, true),
};

/** @kernel __u64 */
export const u64: AbiField<bigint> = {
  size: 8,
  align: 8,
  get: (view, at) => view.getBigUint64(at, true),
  set: (view, at, value) => view.setBigUint64(at, BigInt.asUintN(64, value), true),
};

/** @kernel __s64 */
export const s64: AbiField<bigint> = {
  size: 8,
  align: 8,
  get: (view, at) => view.getBigInt64(at, true),
  set: (view, at, value) => view.setBigInt64(at, value, true),
};

/** `count` bytes of text; what is set is cut or filled with NUL. */
export function chars(count: number): AbiField<Uint8Array> {
  return {
    size: count,
    align: 1,
    get: (view, at) => new Uint8Array(view.buffer, view.byteOffset + at, count).slice(),
    set: (view, at, value) => {
      const field = new Uint8Array(view.buffer, view.byteOffset + at, count);
      field.fill(0);
      field.set(value.subarray(0, count));
    },
  };
}

type Fields = Readonly<Record<string, AbiField<unknown>>>;
type ValueOf<F> = F extends AbiField<infer T> ? T : never;

/** The values of a struct, by member. */
export type AbiValues<F> = { -readonly [K in keyof F]: ValueOf<F[K]> };

/** A struct of the user API: encodes and decodes the bytes that a program would pass. */
export class AbiStruct<F extends object = Fields> {
  readonly name: string;
  readonly size: number;
  /** Members in order, with their offsets. */
  readonly members: readonly { readonly name: string; readonly offset: number; readonly size: number }[];
  readonly #fields: F;

  constructor(name: string, fields: F) {
    this.name = name;
    this.#fields = fields;
    let [at, align] = [0, 1];
    this.members = Object.entries(fields as Fields).map(([member, field]) => {
      at = Math.ceil(at / field.align) * field.align;
      const offset = at;
      at += field.size;
      align = Math.max(align, field.align);
      return { name: member, offset, size: field.size };
    });
    this.size = Math.ceil(at / align) * align;
  }

  /** The values in `bytes`; what is missing at the end counts as zero. */
  decode(bytes: Uint8Array): AbiValues<F> {
    const view = new DataView(new ArrayBuffer(this.size));
    new Uint8Array(view.buffer).set(bytes.subarray(0, this.size));
    const fields = this.#fields as Readonly<Record<string, AbiField<unknown>>>;
    const values = this.members.map(({ name, offset }) => [name, fields[name]!.get(view, offset)]);
    return Object.fromEntries(values) as AbiValues<F>;
  }

  /** The bytes of these values; members left out are zero. */
  encode(values: Partial<AbiValues<F>>): Uint8Array {
    const view = new DataView(new ArrayBuffer(this.size));
    const fields = this.#fields as Readonly<Record<string, AbiField<unknown>>>;
    const given = values as Readonly<Record<string, unknown>>;
    for (const { name, offset } of this.members) {
      if (given[name] !== undefined) fields[name]!.set(view, offset, given[name]);
    }
    return new Uint8Array(view.buffer);
  }
}

/** Declares a struct by its members, in order. */
export function abiStruct<const F extends Readonly<Record<string, AbiField<unknown>>>>(
  name: string,
  fields: F,
): AbiStruct<F> {
  return new AbiStruct(name, fields);
}
