import type { BarDescription, TopologyFunction } from '../../topology/index.ts';
import { BAR_IO, BAR_MEM_64, BAR_PREFETCH } from '../registers.ts';

/** What a BAR's register holds at start and which of its bits can be written. */
export interface BarRegister {
  readonly value: number;
  readonly writable: number;
  /** Type bits: always read so. */
  readonly fixed: number;
  /** BAR that the register belongs to. */
  readonly bar: number;
}

/** A bit for every BAR that there can be. */
export const ALL_BARS = 0x3f;

/**
 * The six BAR registers; `null` for those that are not implemented. A BAR of unknown size holds its address and cannot be
 * written.
 */
export function barRegisters(fn: TopologyFunction, bars: readonly BarDescription[]): readonly (BarRegister | null)[] {
  const registers: (BarRegister | null)[] = [null, null, null, null, null, null];
  for (const bar of bars) {
    const fixed = typeBits(bar);
    const unassigned = bar.flags?.includes('unassigned') === true;
    const address = unassigned ? 0 : bar.start + (bar.kind === 'io' ? 0 : fn.hostBridge.busOffsetAt(bar.start));
    const typeMask = bar.kind === 'io' ? 0x3 : 0xf;
    registers[bar.index] = {
      value: low(address) | fixed,
      writable: bar.size === 0 ? 0 : low(-bar.size) & ~typeMask,
      fixed,
      bar: bar.index,
    };
    if (bar.kind !== 'mem64') continue;
    const writable = bar.size === 0 ? 0 : high(-bar.size);
    registers[bar.index + 1] = { value: high(address), writable, fixed: 0, bar: bar.index };
  }
  return registers;
}

/** Bit i: the registers of BAR i hold the address that it was assigned. @param holds - content of register i */
export function intactBars(registers: readonly (BarRegister | null)[], holds: (i: number) => number): number {
  let bits = 0;
  let moved = 0;
  registers.forEach((register, i) => {
    if (register === null) return;
    bits |= 1 << register.bar;
    if (holds(i) !== register.value) moved |= 1 << register.bar;
  });
  return bits & ~moved;
}

function typeBits(bar: BarDescription): number {
  if (bar.kind === 'io') return BAR_IO;
  return (bar.kind === 'mem64' ? BAR_MEM_64 : 0) | (bar.prefetchable ? BAR_PREFETCH : 0);
}

/** Low and high 32 bits of a number, negative ones in two's complement. */
function low(value: number): number {
  return value | 0;
}

function high(value: number): number {
  return Math.floor(value / 2 ** 32) | 0;
}
