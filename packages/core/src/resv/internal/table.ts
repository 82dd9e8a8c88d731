import { INDEX_MASK, type Machine, type Mem, type Slab, type VerifyBuilder } from '@dmabuf-emu/shm';
import type { FenceTable } from '../../fence/internal/table.ts';
import { tableOf } from '../../fence/internal/table-of.ts';
import { CORE_QUIRKS } from '../../quirks.ts';
import type { ResvUsage } from '../usage.ts';
import { ENTRIES, MAX, NUM, ResvStruct as R, USAGE_SHIFT } from './layout.ts';

const KEY = Symbol('dmabuf-emu.resvs');

/** One thread's view of the machine's reservation objects. */
export class ResvTable {
  readonly machine: Machine;
  readonly mem: Mem;
  readonly slab: Slab;
  readonly fences: FenceTable;
  readonly endlessWalk: boolean;

  constructor(machine: Machine) {
    this.machine = machine;
    this.mem = machine.mem;
    this.slab = machine.slab(R);
    this.fences = tableOf(machine);
    this.endlessWalk = CORE_QUIRKS.has(machine, 'resv.endlessWalk');
  }

  /** Word of the fence of an entry of a list that is locked. */
  placeOf(entry: number): number {
    return this.fences.slab.placeOf(entry & INDEX_MASK);
  }

  /** The fence of an entry, whoever holds a reference to it. */
  fenceOf(entry: number): number {
    return this.fences.slab.refOf(entry & INDEX_MASK);
  }
}

export function usageOf(entry: number): ResvUsage {
  return ((entry >>> USAGE_SHIFT) & 3) as ResvUsage;
}

export function entryOf(fence: number, usage: ResvUsage): number {
  return (fence & INDEX_MASK) | (usage << USAGE_SHIFT);
}

/** The table looked up last: a thread works with one machine, as a rule. */
const last: { table: ResvTable | undefined } = { table: undefined };

/** This thread's table of the machine's reservation objects. */
export function resvTableOf(machine: Machine): ResvTable {
  const { table } = last;
  return table?.machine === machine ? table : lookUp(machine);
}

function lookUp(machine: Machine): ResvTable {
  last.table = machine.local(KEY, () => {
    const t = new ResvTable(machine);
    t.fences.holders.set('dma_resv', (hold) => holdAll(t, hold));
    machine.onVerify('dma_resv', (report) => verifyResvs(t, report));
    machine.onLeave('dma_resv', () => {
      if (last.table === t) last.table = undefined;
    });
    return t;
  });
  return last.table;
}

function* lists(t: ResvTable): Generator<[ref: number, list: number]> {
  for (const ref of t.slab.live()) {
    const list = R.list.get(t.mem, t.slab.at(ref));
    if (list !== 0) yield [ref, list];
  }
}

function holdAll(t: ResvTable, hold: (ref: number) => void): void {
  for (const [, list] of lists(t)) {
    for (let i = 0; i < t.mem.i32[list + NUM]!; i++) hold(t.fenceOf(t.mem.i32[list + ENTRIES + i]!));
  }
}

function verifyResvs(t: ResvTable, report: VerifyBuilder): void {
  report.count('dma_resv', [...t.slab.live()].length);
  for (const [ref, list] of lists(t)) {
    const num = t.mem.i32[list + NUM]!;
    const max = t.mem.i32[list + MAX]!;
    if (num < 0 || num > max) report.error(`dma_resv #${ref >>> 0}: ${num} fences in a list of ${max}`);
  }
}
