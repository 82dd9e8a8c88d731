import { isBridgeKind } from '../pcie-type.ts';
import { hex, TopologyError } from '../topology-error.ts';
import type { BarDescription, HostWindowDescription, MachineDescription } from './machine-description.ts';

const MAX_BARS = 6;
const MAX_BRIDGE_BARS = 2;
const MIN_MEMORY_BAR_BYTES = 16;
const MIN_IO_BAR_BYTES = 4;
const FOUR_GIB = 0x1_0000_0000;

/** A range of addresses and the field that claims it. */
interface Claim {
  readonly start: number;
  readonly end: number;
  readonly path: string;
  /** Windows of the host bridge above. */
  readonly windows: readonly HostWindowDescription[];
}

/**
 * Checks each BAR's shape, that no two decoded memory BARs overlap, that host bridge windows do not overlap, and that
 * memory BARs lie inside the windows of their host bridge (when it has any).
 *
 * @param hostBridgeOf - for each function the index of its host bridge, from `checkTree`
 * @throws TopologyError naming both claims
 */
export function checkBars(machine: MachineDescription, hostBridgeOf: readonly number[]): void {
  const claims: Claim[] = [];
  machine.functions.forEach((fn, index) => {
    const used = new Set<number>();
    const windows = machine.hostBridges[hostBridgeOf[index] ?? 0]?.windows ?? [];
    const limit = isBridgeKind(fn.kind) ? MAX_BRIDGE_BARS : MAX_BARS;
    fn.bars.forEach((bar, barIndex) => {
      const path = `functions[${index}].bars[${barIndex}]`;
      checkIndex(bar, limit, used, path);
      checkRange(bar, path);
      if (isDecodedMemory(bar)) claims.push({ start: bar.start, end: bar.start + bar.size - 1, path, windows });
    });
  });
  checkDisjoint(claims);
  checkDisjoint(
    machine.hostBridges.flatMap((bridge, index) =>
      bridge.windows.map((window, at) => ({
        start: window.start,
        end: window.end,
        path: `hostBridges[${index}].windows[${at}]`,
        windows: [],
      })),
    ),
  );
  checkInsideWindows(claims);
}

/** Whether the BAR answers at a physical memory address: memory, with an address and a size, in use. */
export function isDecodedMemory(bar: BarDescription): boolean {
  if (bar.kind === 'io') return false;
  const flags = bar.flags ?? [];
  return !flags.includes('unassigned') && !flags.includes('ignored') && !flags.includes('size-unknown');
}

function checkIndex(bar: BarDescription, limit: number, used: Set<number>, path: string): void {
  const last = bar.kind === 'mem64' ? bar.index + 1 : bar.index;
  if (last >= limit) {
    throw new TopologyError(`expected BAR registers below ${limit}, but this BAR reaches register ${last}`, {
      path: `${path}.index`,
    });
  }
  for (let register = bar.index; register <= last; register++) {
    if (used.has(register)) {
      throw new TopologyError(`expected each BAR register once, but register ${register} is taken already`, {
        path: `${path}.index`,
      });
    }
    used.add(register);
  }
}

function checkRange(bar: BarDescription, path: string): void {
  if (bar.flags?.includes('size-unknown') === true) {
    if (bar.size === 0) return;
    throw new TopologyError(`expected 0 beside the flag size-unknown, got ${hex(bar.size)}`, { path: `${path}.size` });
  }
  const smallest = bar.kind === 'io' ? MIN_IO_BAR_BYTES : MIN_MEMORY_BAR_BYTES;
  if (bar.size < smallest || !isPowerOfTwo(bar.size)) {
    throw new TopologyError(`expected a power of two of at least ${smallest}, got ${hex(bar.size)}`, {
      path: `${path}.size`,
    });
  }
  if (bar.start % bar.size !== 0) {
    throw new TopologyError(`expected a multiple of the BAR's size ${hex(bar.size)}, got ${hex(bar.start)}`, {
      path: `${path}.start`,
    });
  }
  const end = bar.start + bar.size;
  if (!Number.isSafeInteger(end)) {
    throw new TopologyError('expected the BAR to end below 2^53', { path: `${path}.size` });
  }
  if (bar.kind === 'io' && (bar.prefetchable || end > FOUR_GIB)) {
    throw new TopologyError('expected an I/O BAR below 4 GiB that is not prefetchable', { path });
  }
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value));
}

function checkDisjoint(claims: readonly Claim[]): void {
  const sorted = claims.toSorted((a, b) => a.start - b.start);
  sorted.forEach((claim, index) => {
    const next = sorted[index + 1];
    if (next !== undefined && next.start <= claim.end) {
      throw new TopologyError(
        `overlaps ${claim.path}: ${hex(next.start)}..${hex(next.end)} and ${hex(claim.start)}..${hex(claim.end)}; expected disjoint ranges`,
        { path: next.path },
      );
    }
  });
}

function checkInsideWindows(claims: readonly Claim[]): void {
  for (const { start, end, path, windows } of claims) {
    if (windows.length === 0) continue;
    const inside = windows.some((window) => start >= window.start && end <= window.end);
    if (!inside) {
      throw new TopologyError(`expected a range inside a window of its host bridge, got ${hex(start)}..${hex(end)}`, {
        path,
      });
    }
  }
}
