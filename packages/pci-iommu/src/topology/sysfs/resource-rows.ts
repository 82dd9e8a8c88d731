import type { BridgeWindowDescription } from '../description/machine-description.ts';
import type { RawBar, RawRom } from '../lspci/raw-function.ts';
import { TopologyError } from '../topology-error.ts';

const ROW_PATTERN = /^0x([0-9a-f]{16}) 0x([0-9a-f]{16}) 0x([0-9a-f]{16})$/iu;
const DEVICE_BARS = 6;
const BRIDGE_BARS = 2;
const ROM_ROW = 6;
/** A bridge's rows end with those of its windows: I/O, memory, prefetchable memory, and one for CardBus. */
const WINDOW_ROWS = 4;

const FLAG_IO = 0x100;
const FLAG_PREFETCH = 0x2000;
const FLAG_MEM_64 = 0x10_0000;
const FLAG_UNSET = 0x2000_0000;

/** What the file `resource` tells of a function, in physical addresses. */
export interface ResourceFacts {
  readonly bars: readonly RawBar[];
  readonly rom: RawRom | null;
  /** Windows of a bridge; `null` when the file has no rows for them. */
  readonly windows: readonly BridgeWindowDescription[] | null;
}

interface Row {
  readonly start: number;
  readonly end: number;
  readonly flags: number;
}

/**
 * Reads the file `resource`.
 *
 * @throws TopologyError when a row cannot be read
 * @kernel resource_show, IORESOURCE_IO, IORESOURCE_PREFETCH, IORESOURCE_MEM_64, IORESOURCE_UNSET
 */
export function readResource(text: string, isBridge: boolean): ResourceFacts {
  const rows = text
    .trim()
    .split('\n')
    .map((row, index) => readRow(row, index));
  const bars = rows.slice(0, isBridge ? BRIDGE_BARS : DEVICE_BARS).flatMap((row, index) => barOf(row, index));
  const rom = isBridge ? null : (rows[ROM_ROW] ?? null);
  return {
    bars,
    rom: rom === null ? null : { address: isUnset(rom) ? null : rom.start, size: rom.end - rom.start + 1 },
    windows: isBridge && rows.length > ROM_ROW + WINDOW_ROWS ? windowsOf(rows.slice(-WINDOW_ROWS)) : null,
  };
}

function barOf(row: Row | null, index: number): readonly RawBar[] {
  if (row === null) return [];
  const isIo = has(row, FLAG_IO);
  return [
    {
      index,
      address: isUnset(row) ? null : row.start,
      size: row.end - row.start + 1,
      kind: isIo ? 'io' : has(row, FLAG_MEM_64) ? 'mem64' : 'mem32',
      prefetchable: !isIo && has(row, FLAG_PREFETCH),
      flags: isUnset(row) ? ['unassigned'] : [],
    },
  ];
}

function windowsOf(rows: readonly (Row | null)[]): readonly BridgeWindowDescription[] {
  return rows.flatMap((row) => {
    if (row === null || isUnset(row) || row.end < row.start) return [];
    const kind = has(row, FLAG_IO) ? 'io' : has(row, FLAG_PREFETCH) ? 'prefetch' : 'mem';
    return [{ kind, start: row.start, end: row.end }];
  });
}

/** A row; `null` when the register or window does not exist or is not in use. */
function readRow(text: string, index: number): Row | null {
  const match = ROW_PATTERN.exec(text.trim());
  if (match === null) {
    throw new TopologyError(`expected "0xSTART 0xEND 0xFLAGS" in resource, got ${JSON.stringify(text)}`, {
      line: index + 1,
    });
  }
  const [start = 0, end = 0, flags = 0] = match.slice(1).map((digits) => Number.parseInt(digits, 16));
  return end === 0 ? null : { start, end, flags };
}

function has(row: Row, flag: number): boolean {
  return Math.floor(row.flags / flag) % 2 === 1;
}

function isUnset(row: Row): boolean {
  return has(row, FLAG_UNSET);
}
