import { KernelBug } from '../errors/kernel-error.ts';
import { HEADER_AT, MachineHeader } from '../machine/header.ts';
import type { Machine } from '../machine/machine.ts';

const SLOTS = 512;
const SLOT_WORDS = 192;
const SLOT_BYTES = (SLOT_WORDS - 2) * 4;
const KINDS = ['warn', 'bug', 'lockdep', 'violation', 'info'] as const;

/** What a diagnostic is: a WARN, a BUG, a locking error, a broken contract, or a note. */
export type DiagKind = (typeof KINDS)[number];

/** Who broke which rule, where. */
export interface Violation {
  readonly rule: string;
  readonly text: string;
  readonly importer?: string;
  readonly buffer?: string;
  readonly step?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** One record of the ring. */
export interface DiagRecord extends Partial<Violation> {
  readonly seq: number;
  readonly kind: DiagKind;
  readonly code: string;
  readonly text: string;
  readonly task: number;
  readonly timeMs: number;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * The machine's kmsg: a ring in the arena that any thread writes and any thread reads. Counts are exact; the ring keeps the
 * newest {@link SLOTS} texts.
 */
export class Diagnostics {
  readonly #machine: Machine;
  readonly #ring: number;
  readonly #counts: number;
  #expected: { kind: DiagKind; code: string }[] = [];

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#ring = machine.root('diag.ring', SLOTS * SLOT_WORDS);
    this.#counts = machine.root('diag.counts', 16);
  }

  /** @kernel WARN */
  warn(code: string, text: string, data?: Readonly<Record<string, unknown>>): void {
    this.#add('warn', code, text, data === undefined ? {} : { data });
  }

  /** @kernel WARN_ONCE */
  warnOnce(code: string, text: string): void {
    this.once(`warn:${code}`, () => this.warn(code, text));
  }

  /** Runs `fn` unless this machine (any thread) has run it under `key` before. */
  once(key: string, fn: () => void): void {
    if (Atomics.exchange(this.#machine.mem.i32, this.#machine.root(`once:${key}`, 16), 1) === 0) fn();
  }

  /** Records, poisons the machine and throws. @kernel BUG @throws KernelBug always */
  bug(code: string, text: string): never {
    this.#add('bug', code, text, {});
    MachineHeader.taint.or(this.#machine.mem, HEADER_AT, 2);
    throw new KernelBug(code, text);
  }

  /** A locking rule was broken. */
  lockdep(code: string, text: string): void {
    this.#add('lockdep', code, text, {});
  }

  /** A driver broke the contract: names the rule and, where known, importer, buffer and step. */
  violation(violation: Violation): void {
    const { rule, text, ...rest } = violation;
    this.#add('violation', rule, text, rest);
  }

  /** A note without blame. */
  info(code: string, text: string): void {
    this.#add('info', code, text, {});
  }

  /** How many of `kind` were recorded since the machine was made. */
  count(kind: DiagKind): number {
    return Atomics.load(this.#machine.mem.i32, this.#counts + KINDS.indexOf(kind));
  }

  /** The records that the ring still holds, oldest first. */
  records(): DiagRecord[] {
    const { mem } = this.#machine;
    const end = MachineHeader.diagSeq.load(mem, HEADER_AT);
    const records: DiagRecord[] = [];
    for (let seq = Math.max(0, end - SLOTS); seq < end; seq++) {
      const at = this.#ring + (seq % SLOTS) * SLOT_WORDS;
      if (Atomics.load(mem.i32, at) !== seq + 1) continue;
      const text = decoder.decode(mem.read((at + 2) * 4, mem.i32[at + 1]!));
      if (Atomics.load(mem.i32, at) === seq + 1) records.push(JSON.parse(text) as DiagRecord);
    }
    return records;
  }

  /** Tells {@link unexpected} that a record of this kind and code is part of the test. */
  expect(kind: DiagKind, code: string): void {
    this.#expected.push({ kind, code });
  }

  /** Records that nobody said to expect, notes excluded. */
  unexpected(): DiagRecord[] {
    return this.records().filter(
      (r) => r.kind !== 'info' && !this.#expected.some((e) => e.kind === r.kind && e.code === r.code),
    );
  }

  #add(kind: DiagKind, code: string, text: string, rest: Partial<Violation>): void {
    const { mem } = this.#machine;
    Atomics.add(mem.i32, this.#counts + KINDS.indexOf(kind), 1);
    const seq = MachineHeader.diagSeq.add(mem, HEADER_AT, 1);
    const record = { seq, kind, code, text, ...rest, task: this.#machine.tid, timeMs: this.#machine.clock.nowMs() };
    let bytes = encoder.encode(JSON.stringify(record));
    if (bytes.length > SLOT_BYTES) {
      const { data: _, ...short } = record;
      bytes = encoder.encode(JSON.stringify({ ...short, text: text.slice(0, 300) }));
    }
    const at = this.#ring + (seq % SLOTS) * SLOT_WORDS;
    Atomics.store(mem.i32, at, 0);
    mem.i32[at + 1] = bytes.length;
    mem.write((at + 2) * 4, bytes);
    Atomics.store(mem.i32, at, seq + 1);
  }
}
