// The fence life cycle on the bare platform: 32-byte slots, per-thread magazines, plain stores until a fence is
// published, one read-modify-write of the state word for each of signal, get and put. No checks, no names, no trace.
import { cpuNs, scaled } from '../lib/stats.mjs';
import { runTogether } from '../lib/threads.mjs';

const FENCES = 65536;
const BATCH = 32;
const RING = 1024;
const SIGNALED = 1;
const WAITERS = 2;
const ONE_REF = 256;
// The memory map, in words.
const DEPOT = 0;
const RING_HEAD = 64;
const RING_TAIL = 128;
const RING_SLOTS = 1024;
const RESERVATIONS = 4096;
const NEXT_IN_BATCH = 8192;
const NEXT_BATCH = NEXT_IN_BATCH + FENCES;
const TABLE = NEXT_BATCH + FENCES;
const WORDS = 8; // 32 bytes a fence
const TOTAL = TABLE + FENCES * WORDS;

function swapDepot(m, old, link) {
  return Atomics.compareExchange(m, DEPOT, old, (((old + 0x100000) | 0) & 0xfff00000) | link) === old;
}

function takeBatch(m) {
  for (;;) {
    const head = Atomics.load(m, DEPOT);
    const first = (head & 0xfffff) - 1;
    if (first < 0) return -1;
    if (swapDepot(m, head, m[NEXT_BATCH + first])) return first;
  }
}

function giveBatch(m, first) {
  for (;;) {
    const head = Atomics.load(m, DEPOT);
    m[NEXT_BATCH + first] = head & 0xfffff;
    if (swapDepot(m, head, first + 1)) return;
  }
}

class Magazine {
  constructor(m) {
    this.m = m;
    this.slots = new Int32Array(2 * BATCH);
    this.count = 0;
  }

  alloc() {
    if (this.count === 0 && !this.refill()) return -1;
    return this.slots[--this.count];
  }

  refill() {
    let x = takeBatch(this.m);
    if (x < 0) return false;
    for (let i = 0; i < BATCH; i++, x = this.m[NEXT_IN_BATCH + x]) this.slots[i] = x;
    this.count = BATCH;
    return true;
  }

  free(x) {
    if (this.count === 2 * BATCH) {
      for (let i = BATCH; i < 2 * BATCH - 1; i++) this.m[NEXT_IN_BATCH + this.slots[i]] = this.slots[i + 1];
      this.count = BATCH;
      giveBatch(this.m, this.slots[BATCH]);
    }
    this.slots[this.count++] = x;
  }
}

function init(m, f, context, seqno, refs) {
  m[f + 1] = 0;
  m[f + 2] = context;
  m[f + 3] = 0;
  m[f + 4] = seqno;
  m[f + 5] = 0;
  m[f + 6] = 0;
  m[f + 7] = 0;
  m[f] = refs * ONE_REF;
}

function signal(m, f, time) {
  m[f + 6] = time;
  const old = Atomics.or(m, f, SIGNALED);
  if ((old & WAITERS) !== 0) Atomics.notify(m, f);
}

function put(m, magazine, x) {
  if (Atomics.sub(m, TABLE + x * WORDS, ONE_REF) >> 8 === 1) magazine.free(x);
}

function liveAndDie(m, magazine, cycles, thread) {
  let sum = 0;
  for (let i = 0; i < cycles; i++) {
    const slot = RESERVATIONS + thread * 64 + (i & 7);
    const x = magazine.alloc();
    const f = TABLE + x * WORDS;
    init(m, f, thread + 1, i, 2);
    Atomics.store(m, slot, x + 1); // publishes the fence
    signal(m, f, i);
    sum += Atomics.load(m, f) & SIGNALED;
    put(m, magazine, Atomics.exchange(m, slot, 0) - 1);
    put(m, magazine, x);
  }
  return sum;
}

function table() {
  const buffer = new SharedArrayBuffer(TOTAL * 4);
  const m = new Int32Array(buffer);
  for (let b = FENCES - BATCH; b >= 0; b -= BATCH) {
    for (let i = 0; i < BATCH - 1; i++) m[NEXT_IN_BATCH + b + i] = b + i + 1;
    giveBatch(m, b);
  }
  return buffer;
}

export async function own({ threads }) {
  const data = { buffer: table(), cycles: Math.floor(scaled(3e6) / threads) };
  const parts = Array.from({ length: threads }, () => ({ run: 'ownThread', data }));
  const { elapsedMs, results } = await runTogether(import.meta.url, parts);
  return {
    cycle_ns: (elapsedMs * 1e6) / data.cycles,
    cpu_ns: results[0] / (data.cycles * threads),
    Mcycles_s: (data.cycles * threads) / elapsedMs / 1e3,
  };
}

export function ownThread({ buffer, cycles }, gate) {
  const m = new Int32Array(buffer);
  const magazine = new Magazine(m);
  liveAndDie(m, magazine, 50_000, gate.index);
  gate.start();
  const before = cpuNs();
  liveAndDie(m, magazine, cycles, gate.index);
  return cpuNs() - before;
}

export async function crossing() {
  const data = { buffer: table(), cycles: scaled(2e6) };
  const { elapsedMs } = await runTogether(import.meta.url, [
    { run: 'produce', data },
    { run: 'consume', data },
  ]);
  return { Mcycles_s: data.cycles / elapsedMs / 1e3 };
}

const SPIN_TURNS = 20_000;
function spinWhile(m, at, value) {
  for (let i = 0; Atomics.load(m, at) === value; i++) {
    if (i === SPIN_TURNS) {
      Atomics.wait(m, at, value, 0.05);
      i = 0;
    }
  }
}

export function produce({ buffer, cycles }, gate) {
  const m = new Int32Array(buffer);
  const magazine = new Magazine(m);
  gate.start();
  for (let i = 0, head = 0; i < cycles; i++) {
    let x;
    while ((x = magazine.alloc()) < 0);
    init(m, TABLE + x * WORDS, 1, i, 2);
    for (let tail; head - (tail = Atomics.load(m, RING_TAIL)) >= RING;) spinWhile(m, RING_TAIL, tail);
    m[RING_SLOTS + (head & (RING - 1))] = x;
    Atomics.store(m, RING_HEAD, ++head);
    put(m, magazine, x);
  }
}

export function consume({ buffer, cycles }, gate) {
  const m = new Int32Array(buffer);
  const magazine = new Magazine(m);
  gate.start();
  for (let i = 0, tail = 0; i < cycles; i++) {
    spinWhile(m, RING_HEAD, tail);
    const x = m[RING_SLOTS + (tail & (RING - 1))];
    Atomics.store(m, RING_TAIL, ++tail);
    signal(m, TABLE + x * WORDS, i);
    put(m, magazine, x);
  }
}
