import { jsSlots, type Slots } from './slots.ts';
import { WASM_BASE64 } from './wasm-bytes.ts';
import { wasmHost, type WasmMemory } from './wasm-host.ts';

/**
 * Sequentially consistent access to one word by its index; read-modify-write forms return the old value. In WebAssembly,
 * whose calls V8 inlines, these take about half the time of `Atomics`, which it calls.
 */
export interface AtomicWords {
  readonly load: (at: number) => number;
  readonly store: (at: number, value: number) => void;
  readonly add: (at: number, value: number) => number;
  readonly sub: (at: number, value: number) => number;
  readonly and: (at: number, value: number) => number;
  readonly or: (at: number, value: number) => number;
  readonly xor: (at: number, value: number) => number;
  readonly exchange: (at: number, value: number) => number;
  readonly cas: (at: number, expected: number, value: number) => number;
}

/** Moves, fills and hashes bytes of one shared buffer, and takes lock words. Offsets and lengths in bytes. */
export interface Movers extends AtomicWords, Slots {
  readonly kind: 'wasm' | 'js';
  readonly copy: (dst: number, src: number, length: number) => void;
  readonly fill: (at: number, value: number, length: number) => void;
  /** 32-bit hash of `length` bytes, equal for both kinds of movers. */
  readonly hash: (at: number, length: number) => number;
  /**
   * Notes a lock in the task's record (count at byte `held`, at most `limit` pairs behind it), then takes its word (index
   * `at`) from 0 to `mine`. Returns the word's old value, 0 when taken; -1 when the record is full.
   */
  readonly lockTake: (held: number, limit: number, info: number, at: number, mine: number) => number;
  /**
   * Frees a lock word that holds `mine` and perhaps some of `flags`. Returns those flags, plus 0x100 when the note in the
   * record was not the newest and is still there; -1 when the word does not hold `mine`.
   */
  readonly lockDrop: (held: number, flags: number, at: number, mine: number) => number;
  /** Frees a lock word that holds exactly `mine`: 0, or 0x100 when the note is still there; -1 when it held something else. */
  readonly lockDropExact: (held: number, at: number, mine: number) => number;
  /** Turns of the spins below that take about a microsecond. */
  readonly turnsPerUs: number;
  /** Spins while the word (index `at`) equals `value`, at most `turns` times; 1 when it changed. */
  readonly spinWhileEqual: (at: number, value: number, turns: number) => number;
  /** Spins while all `mask` bits of the word are clear, at most `turns` times; 1 when one was set. */
  readonly spinWhileClear: (at: number, mask: number, turns: number) => number;
  /**
   * Spins for a lock word, about `turns` turns, and takes it from 0 to `mine`. Returns 0 when taken, else the value last seen;
   * gives up once one of the `stop` bits is set. Looks at least once, and ever more rarely.
   */
  readonly lockSpin: (at: number, mine: number, stop: number, turns: number) => number;
  /**
   * Spins for a count, at most `turns` times but at least once: takes `one` off the word when a bit outside `flags` is set,
   * or leaves it when one of the `all` bits is. Returns 1 when there was something.
   */
  readonly countSpin: (at: number, one: number, flags: number, all: number, turns: number) => number;
}

/** Movers at memcpy speed: `memory.copy` and `memory.fill` of a small wasm module over the same memory. */
export function wasmMovers(memory: WasmMemory): Movers {
  const host = wasmHost!;
  const module = new host.Module(Buffer.from(WASM_BASE64, 'base64'));
  const functions = new host.Instance(module, { env: { memory } }).exports as Omit<Movers, 'kind' | 'turnsPerUs'>;
  return { kind: 'wasm', turnsPerUs: 2000, ...functions };
}

const P1 = 0x9e3779b1;
const P2 = 0x85ebca77;

function rotl(x: number, n: number): number {
  return (x << n) | (x >>> (32 - n));
}

function lane(acc: number, word: number): number {
  return Math.imul(rotl((acc + Math.imul(word, P2)) | 0, 13), P1);
}

/** The same movers in plain JavaScript, for hosts without threaded WebAssembly. */
export function jsMovers(buffer: SharedArrayBuffer): Movers {
  const i32 = new Int32Array(buffer);
  return { kind: 'js', ...jsBytes(buffer), ...jsWords(i32), ...jsSlots(i32), ...jsLocks(i32), ...jsSpins(i32) };
}

function jsBytes(buffer: SharedArrayBuffer): Pick<Movers, 'copy' | 'fill' | 'hash'> {
  const u8 = new Uint8Array(buffer);
  const view = new DataView(buffer);
  return {
    copy(dst, src, length) {
      u8.copyWithin(dst, src, src + length);
    },
    fill(at, value, length) {
      u8.fill(value, at, at + length);
    },
    hash(at, length) {
      let [a, b, c, d] = [0x24234428, P2 | 0, 0, 0x61c8864f];
      let p = at;
      for (const end = at + (length & -16); p !== end; p += 16) {
        a = lane(a, view.getInt32(p, true));
        b = lane(b, view.getInt32(p + 4, true));
        c = lane(c, view.getInt32(p + 8, true));
        d = lane(d, view.getInt32(p + 12, true));
      }
      let h = (length + rotl(a, 1) + rotl(b, 7) + rotl(c, 12) + rotl(d, 18)) | 0;
      for (const end = p + (length & 15); p !== end; p++) {
        h = Math.imul(rotl((h + Math.imul(u8[p]!, 0x165667b1)) | 0, 11), P1);
      }
      h = Math.imul(h ^ (h >>> 15), P2);
      return h ^ (h >>> 13);
    },
  };
}

function jsWords(i32: Int32Array): AtomicWords {
  return {
    load: (at) => Atomics.load(i32, at),
    store: (at, value) => void Atomics.store(i32, at, value),
    add: (at, value) => Atomics.add(i32, at, value),
    sub: (at, value) => Atomics.sub(i32, at, value),
    and: (at, value) => Atomics.and(i32, at, value),
    or: (at, value) => Atomics.or(i32, at, value),
    xor: (at, value) => Atomics.xor(i32, at, value),
    exchange: (at, value) => Atomics.exchange(i32, at, value),
    cas: (at, expected, value) => Atomics.compareExchange(i32, at, expected, value),
  };
}

function jsLocks(i32: Int32Array): Pick<Movers, 'lockTake' | 'lockDrop' | 'lockDropExact'> {
  return {
    lockTake(held, limit, info, at, mine) {
      const n = i32[held >> 2]!;
      if (n >= limit) return -1;
      const p = (held >> 2) + 1 + 2 * n;
      i32[p] = at;
      i32[p + 1] = info;
      i32[held >> 2] = n + 1;
      return Atomics.compareExchange(i32, at, 0, mine);
    },
    lockDrop(held, flags, at, mine) {
      if ((i32[at]! & ~flags) !== mine) return -1;
      const old = Atomics.exchange(i32, at, 0) & flags;
      const last = i32[held >> 2]! - 1;
      if (i32[(held >> 2) + 1 + 2 * last] !== at) return old | 0x100;
      i32[held >> 2] = last;
      return old;
    },
    lockDropExact(held, at, mine) {
      if (Atomics.compareExchange(i32, at, mine, 0) !== mine) return -1;
      const last = i32[held >> 2]! - 1;
      if (i32[(held >> 2) + 1 + 2 * last] !== at) return 0x100;
      i32[held >> 2] = last;
      return 0;
    },
  };
}

function jsSpins(
  i32: Int32Array,
): Pick<Movers, 'turnsPerUs' | 'spinWhileEqual' | 'spinWhileClear' | 'lockSpin' | 'countSpin'> {
  return {
    turnsPerUs: 200,
    spinWhileEqual(at, value, turns) {
      for (let turn = turns; turn > 0; turn--) if (Atomics.load(i32, at) !== value) return 1;
      return 0;
    },
    spinWhileClear(at, mask, turns) {
      for (let turn = turns; turn > 0; turn--) if ((Atomics.load(i32, at) & mask) !== 0) return 1;
      return 0;
    },
    lockSpin(at, mine, stop, turns) {
      for (let turn = turns; ; turn--) {
        let seen = Atomics.load(i32, at);
        if (seen === 0 && (seen = Atomics.compareExchange(i32, at, 0, mine)) === 0) return 0;
        if (turn <= 1 || (seen & stop) !== 0) return seen;
      }
    },
    countSpin(at, one, flags, all, turns) {
      for (let turn = turns; ;) {
        const seen = Atomics.load(i32, at);
        if ((seen & ~flags) === 0) {
          if (--turn <= 0) return 0;
        } else if ((seen & all) !== 0 || Atomics.compareExchange(i32, at, seen, seen - one) === seen) {
          return 1;
        }
      }
    },
  };
}
