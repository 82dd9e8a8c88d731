import type { Mem } from '../memory/mem.ts';

/** One field of a struct: its word offset inside the slot (`at`) and its size in words. */
export abstract class Field {
  /** Word offset inside the struct; set when the struct is declared. */
  at = 0;
  abstract readonly kind: string;
  abstract readonly words: number;

  /** Alignment in words. */
  get align(): number {
    return 1;
  }

  /** A fresh field of the same kind, for the struct that declares it. */
  abstract clone(): Field;

  /** Value for the debugger dump. */
  abstract show(mem: Mem, p: number): unknown;
}

/**
 * A 32-bit integer. `get` and `set` are plain accesses, for data that a lock protects or that is not published yet;
 * the others are sequentially consistent atomics and return the old value.
 */
export class I32Field extends Field {
  readonly kind: string;
  readonly words = 1;

  constructor(kind = 'i32') {
    super();
    this.kind = kind;
  }

  clone(): I32Field {
    return new I32Field(this.kind);
  }

  get(mem: Mem, p: number): number {
    return mem.i32[p + this.at]!;
  }

  set(mem: Mem, p: number, value: number): void {
    mem.i32[p + this.at] = value;
  }

  load(mem: Mem, p: number): number {
    return mem.movers.load(p + this.at);
  }

  store(mem: Mem, p: number, value: number): void {
    mem.movers.store(p + this.at, value);
  }

  add(mem: Mem, p: number, value: number): number {
    return mem.movers.add(p + this.at, value);
  }

  sub(mem: Mem, p: number, value: number): number {
    return mem.movers.sub(p + this.at, value);
  }

  and(mem: Mem, p: number, value: number): number {
    return mem.movers.and(p + this.at, value);
  }

  or(mem: Mem, p: number, value: number): number {
    return mem.movers.or(p + this.at, value);
  }

  xor(mem: Mem, p: number, value: number): number {
    return mem.movers.xor(p + this.at, value);
  }

  exchange(mem: Mem, p: number, value: number): number {
    return mem.movers.exchange(p + this.at, value);
  }

  /** Compare and exchange; returns the old value (equal to `expected` when it took place). */
  cas(mem: Mem, p: number, expected: number, value: number): number {
    return mem.movers.cas(p + this.at, expected, value);
  }

  show(mem: Mem, p: number): unknown {
    const v = this.get(mem, p);
    return this.kind === 'ref' ? `#${v >>> 0}` : v;
  }
}

/** A number exact to 2^53 (sizes, addresses, sequence numbers, nanoseconds), stored as a double. Plain access only. */
export class F64Field extends Field {
  readonly kind = 'u53';
  readonly words = 2;

  override get align(): number {
    return 2;
  }

  clone(): F64Field {
    return new F64Field();
  }

  get(mem: Mem, p: number): number {
    return mem.f64[(p + this.at) >>> 1]!;
  }

  set(mem: Mem, p: number, value: number): void {
    mem.f64[(p + this.at) >>> 1] = value;
  }

  show(mem: Mem, p: number): unknown {
    return this.get(mem, p);
  }
}

/** `count` words without further structure. */
export class WordsField extends Field {
  readonly kind = 'words';
  readonly words: number;

  constructor(count: number) {
    super();
    this.words = count;
  }

  clone(): WordsField {
    return new WordsField(this.words);
  }

  get(mem: Mem, p: number, index: number): number {
    return mem.i32[p + this.at + index]!;
  }

  set(mem: Mem, p: number, index: number, value: number): void {
    mem.i32[p + this.at + index] = value;
  }

  show(mem: Mem, p: number): unknown {
    return Array.from(mem.i32.subarray(p + this.at, p + this.at + this.words));
  }
}

/** A lock, completion or wait queue embedded in the struct. `lockClass` is what lock-order validation and reports call it. */
export class LockField extends Field {
  readonly kind: string;
  readonly words: number;
  readonly lockClass: string;

  constructor(kind: string, words: number, lockClass: string) {
    super();
    this.kind = kind;
    this.words = words;
    this.lockClass = lockClass;
  }

  clone(): LockField {
    return new LockField(this.kind, this.words, this.lockClass);
  }

  show(mem: Mem, p: number): unknown {
    const word = mem.i32[p + this.at]!;
    return word === 0 ? 'free' : `0x${(word >>> 0).toString(16)}`;
  }
}

/** Plain 32-bit integer or atomic word. */
export const i32 = (): I32Field => new I32Field('i32');
/** Reference to a slot of some slab; 0 is null. */
export const ref = (): I32Field => new I32Field('ref');
/** Reference count; use with {@link refInc} and friends. */
export const refcount = (): I32Field => new I32Field('refcount');
/** Number exact to 2^53. */
export const u53 = (): F64Field => new F64Field();
/** `count` raw words. */
export const words = (count: number): WordsField => new WordsField(count);
/** Sleeping lock with one owner. @kernel mutex */
export const mutex = (lockClass: string): LockField => new LockField('mutex', 1, lockClass);
/** Reader-writer sleeping lock. @kernel rw_semaphore */
export const rwsem = (lockClass: string): LockField => new LockField('rwsem', 2, lockClass);
/** Mutex with deadlock avoidance. @kernel ww_mutex */
export const wwmutex = (lockClass: string): LockField => new LockField('wwmutex', 5, lockClass);
/** @kernel completion */
export const completion = (name = 'completion'): LockField => new LockField('completion', 1, name);
/** @kernel wait_queue_head_t */
export const waitqueue = (name = 'waitqueue'): LockField => new LockField('waitqueue', 1, name);
