import { KernelError, UsageError } from '../errors/kernel-error.ts';
import type { Machine } from '../machine/machine.ts';
import { HEADER_AT, MachineHeader, STRING_BUCKETS } from '../machine/header.ts';
import type { Mem } from '../memory/mem.ts';
import { syncPoint } from '../sync/sync-point.ts';
import { spinLock, spinUnlock } from '../sync/spin.ts';

const H = MachineHeader;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * The shared heap below the slabs: a bump allocator, interned strings, named static areas and named blobs.
 * Nothing here is ever freed; each structure is published by one final store, so a task that dies half-way only wastes words.
 */
export class Arena {
  readonly #machine: Machine;
  readonly #mem: Mem;
  readonly #ids = new Map<string, number>();
  readonly #texts = new Map<number, string>();
  readonly #roots = new Map<string, { readonly area: number; readonly size: number }>();

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#mem = machine.mem;
  }

  /**
   * Takes `count` zeroed words, aligned to 64 bytes when that many are asked for, to 8 bytes otherwise.
   * @throws KernelError ENOMEM when the arena is used up; nothing is taken then.
   */
  bump(count: number, site: string): number {
    syncPoint('arena.bump');
    const align = count >= 16 ? 16 : 2;
    for (;;) {
      const brk = H.brk.load(this.#mem, HEADER_AT);
      const at = Math.ceil(brk / align) * align;
      if (at + count > H.limit.get(this.#mem, HEADER_AT)) {
        throw new KernelError('ENOMEM', site, `the arena has no ${count * 4} bytes left (option arenaBytes)`);
      }
      if (H.brk.cas(this.#mem, HEADER_AT, brk, at + count) === brk) return at;
    }
  }

  /** Bytes of the arena in use and in all. */
  usage(): { usedBytes: number; totalBytes: number } {
    const used = H.brk.load(this.#mem, HEADER_AT);
    return { usedBytes: used * 4, totalBytes: H.limit.get(this.#mem, HEADER_AT) * 4 };
  }

  /** Machine-wide id of a string: equal text, equal id, in every thread. */
  intern(text: string): number {
    const known = this.#ids.get(text);
    if (known !== undefined) return known;
    const bytes = encoder.encode(text);
    const bucket = HEADER_AT + H.buckets.at + (this.#bucket(bytes) % STRING_BUCKETS);
    let id = this.#findString(bucket, bytes);
    if (id === 0) {
      id = this.#locked(() => {
        const again = this.#findString(bucket, bytes);
        if (again !== 0) return again;
        const at = this.bump(2 + Math.ceil(bytes.length / 4), 'intern');
        this.#mem.i32[at] = Atomics.load(this.#mem.i32, bucket);
        this.#mem.i32[at + 1] = bytes.length;
        this.#mem.write((at + 2) * 4, bytes);
        Atomics.store(this.#mem.i32, bucket, at);
        return at;
      });
    }
    this.#ids.set(text, id);
    this.#texts.set(id, text);
    return id;
  }

  /** Text of an interned string; '' for id 0. */
  string(id: number): string {
    if (id === 0) return '';
    let text = this.#texts.get(id);
    if (text === undefined) {
      text = decoder.decode(this.#mem.read((id + 2) * 4, this.#mem.i32[id + 1]!));
      this.#texts.set(id, text);
    }
    return text;
  }

  /**
   * Word of a named, zero-initialised static area; the same in every thread.
   * @throws UsageError when the name exists with another size.
   */
  root(name: string, count: number): number {
    let known = this.#roots.get(name);
    if (known === undefined) {
      const record = this.#rootRecord(name, count);
      known = { area: this.#mem.i32[record + 3]!, size: this.#mem.i32[record + 2]! };
      this.#roots.set(name, known);
    }
    const { area, size } = known;
    if (size !== count)
      throw new UsageError(`root area ${name} has ${size} words, asked for ${count}: mixed versions?`);
    return area;
  }

  #rootRecord(name: string, count: number): number {
    const id = this.intern(name);
    const head = HEADER_AT + H.rootHead.at;
    return (
      this.#findRecord(head, id) ||
      this.#locked(() => {
        const again = this.#findRecord(head, id);
        if (again !== 0) return again;
        const at = this.bump(4, name);
        const area = this.bump(Math.max(16, count), name);
        this.#mem.i32.set([Atomics.load(this.#mem.i32, head), id, count, area], at);
        Atomics.store(this.#mem.i32, head, at);
        return at;
      })
    );
  }

  /** Names of all root areas that begin with `prefix`. */
  rootNames(prefix: string): string[] {
    const names: string[] = [];
    for (let at = Atomics.load(this.#mem.i32, HEADER_AT + H.rootHead.at); at !== 0; at = this.#mem.i32[at]!) {
      const name = this.string(this.#mem.i32[at + 1]!);
      if (name.startsWith(prefix)) names.push(name);
    }
    return names;
  }

  /** Stores immutable bytes under a name. @throws UsageError when the name is taken. */
  setBlob(name: string, bytes: Uint8Array): void {
    const id = this.intern(name);
    const head = HEADER_AT + H.blobHead.at;
    this.#locked(() => {
      if (this.#findRecord(head, id) !== 0) throw new UsageError(`blob ${name} exists already`);
      const at = this.bump(4, name);
      const data = this.bump(Math.ceil(bytes.length / 4) + 1, name);
      this.#mem.write(data * 4, bytes);
      this.#mem.i32.set([Atomics.load(this.#mem.i32, head), id, bytes.length, data], at);
      Atomics.store(this.#mem.i32, head, at);
    });
  }

  /** A copy of a blob's bytes, or undefined when there is none of that name. */
  blob(name: string): Uint8Array | undefined {
    const record = this.#findRecord(HEADER_AT + H.blobHead.at, this.intern(name));
    if (record === 0) return undefined;
    return this.#mem.read(this.#mem.i32[record + 3]! * 4, this.#mem.i32[record + 2]!);
  }

  /**
   * A small number (from 1) for `name` among all names of `kind`; the same in every thread.
   * @throws KernelError ENOSPC past `limit`.
   */
  dense(kind: string, name: string, limit = 1000): number {
    const area = this.root(`dense:${kind}`, limit + 1);
    const id = this.intern(name);
    const find = (): number => {
      const count = Atomics.load(this.#mem.i32, area);
      for (let i = 1; i <= count; i++) if (this.#mem.i32[area + i] === id) return i;
      return 0;
    };
    return (
      find() ||
      this.#locked(() => {
        const again = find();
        if (again !== 0) return again;
        const next = Atomics.load(this.#mem.i32, area) + 1;
        if (next > limit) throw new KernelError('ENOSPC', 'dense', `more than ${limit} names of kind ${kind}`);
        this.#mem.i32[area + next] = id;
        Atomics.store(this.#mem.i32, area, next);
        return next;
      })
    );
  }

  /** Name behind a {@link dense} number, or '' when it was never given out. */
  denseName(kind: string, n: number, limit = 1000): string {
    const area = this.root(`dense:${kind}`, limit + 1);
    return n >= 1 && n <= Atomics.load(this.#mem.i32, area) ? this.string(this.#mem.i32[area + n]!) : '';
  }

  #locked<T>(fn: () => T): T {
    const at = HEADER_AT + H.arenaLock.at;
    spinLock(this.#machine, at);
    try {
      return fn();
    } finally {
      spinUnlock(this.#machine, at);
    }
  }

  #bucket(bytes: Uint8Array): number {
    let h = 0x811c9dc5;
    for (const b of bytes) h = Math.imul(h ^ b, 0x01000193);
    return h >>> 0;
  }

  #findString(bucket: number, bytes: Uint8Array): number {
    const { i32, u8 } = this.#mem;
    for (let at = Atomics.load(i32, bucket); at !== 0; at = i32[at]!) {
      if (i32[at + 1] !== bytes.length) continue;
      let same = true;
      for (let i = 0, p = (at + 2) * 4; same && i < bytes.length; i++, p++) same = u8[p] === bytes[i];
      if (same) return at;
    }
    return 0;
  }

  #findRecord(head: number, id: number): number {
    const { i32 } = this.#mem;
    for (let at = Atomics.load(i32, head); at !== 0; at = i32[at]!) if (i32[at + 1] === id) return at;
    return 0;
  }
}
