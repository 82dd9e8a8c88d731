import type { BarFlag } from '../description/machine-description.ts';
import { TopologyError } from '../topology-error.ts';
import type { LogicalLine } from './logical-lines.ts';
import type { RawBar, RawRom } from './raw-function.ts';

const REGION_PATTERN = /^(?:\[(?:virtual|enhanced)\] )?Region (\d+): (.*)$/u;
const UNNUMBERED_PATTERN = /^(?:\[(?:virtual|enhanced)\] )?(?:Memory|I\/O ports) at .*$/u;
const ROM_PATTERN = /^(?:\[(?:virtual|enhanced)\] )?Expansion ROM at (\S+)(.*)$/u;
const BODY_PATTERN = /(Memory|I\/O ports) at ([0-9a-f]+|<[^>]*>)(?: \(([^)]*)\))?/iu;
const SIZE_PATTERN = /\[size=(\d+)([KMGTPE]?)\]/u;
const ADDRESS_PATTERN = /^([0-9a-f]+)/iu;
const SIZE_UNITS = 'KMGTPE';
const BYTES_PER_UNIT = 1024;
const LAST_BAR = 5;

/** Whether a line of a device describes a BAR. */
export function isBarLine(text: string): boolean {
  return REGION_PATTERN.test(text) || UNNUMBERED_PATTERN.test(text);
}

/** Whether a line of a device describes its expansion ROM. */
export function isRomLine(text: string): boolean {
  return ROM_PATTERN.test(text);
}

/**
 * Reads `Region N: Memory at ADDRESS (64-bit, prefetchable) [marks] [size=16G]`, with or without `Region N:`.
 *
 * @throws TopologyError when index, address or width are not readable
 */
export function parseBarLine(line: LogicalLine): RawBar {
  const numbered = REGION_PATTERN.exec(line.text);
  const index = numbered === null ? null : Number(numbered[1]);
  if (index !== null && index > LAST_BAR) {
    throw new TopologyError(`expected a region number from 0 to ${LAST_BAR}, got ${index}`, { line: line.line });
  }
  const body = BODY_PATTERN.exec(line.text);
  if (body === null) {
    throw new TopologyError(
      `expected "Memory at ADDRESS (WIDTH, prefetchable)" or "I/O ports at ADDRESS", got ${JSON.stringify(line.text)}`,
      { line: line.line },
    );
  }
  const where = body[2] ?? '';
  const kind = body[1] === 'Memory' ? memoryKind(body[3], line) : 'io';
  return {
    index,
    address: addressOf(where, line),
    size: sizeOf(line),
    kind,
    prefetchable: kind !== 'io' && !line.text.includes('non-prefetchable') && line.text.includes('prefetchable'),
    flags: marksOf(line.text, where),
  };
}

/** Reads `Expansion ROM at ADDRESS [marks] [size=512K]`. */
export function parseRomLine(line: LogicalLine): RawRom {
  const where = ROM_PATTERN.exec(line.text)?.[1] ?? '';
  return { address: addressOf(where, line), size: sizeOf(line) };
}

function memoryKind(width: string | undefined, line: LogicalLine): 'mem32' | 'mem64' {
  if (width !== undefined && width.startsWith('64-bit')) return 'mem64';
  // Type 3 is what a register reads whose device does not answer.
  if (width !== undefined && /^(?:32-bit|low-1M|type 3)/u.test(width)) return 'mem32';
  throw new TopologyError(`expected (64-bit, ...) or (32-bit, ...), got ${JSON.stringify(line.text)}`, {
    line: line.line,
  });
}

/** The address; `null` for `<unassigned>` and `<ignored>`, also when glued to a number. */
function addressOf(where: string, line: LogicalLine): number | null {
  if (where.includes('<')) return null;
  const digits = ADDRESS_PATTERN.exec(where)?.[1];
  const address = digits === undefined || digits.length !== where.length ? Number.NaN : Number.parseInt(digits, 16);
  if (!Number.isSafeInteger(address)) {
    throw new TopologyError(`expected a hexadecimal address below 2^53, got ${JSON.stringify(where)}`, {
      line: line.line,
    });
  }
  return address;
}

function sizeOf(line: LogicalLine): number | null {
  const open = line.text.indexOf('[size=');
  if (open < 0) return null;
  const match = SIZE_PATTERN.exec(line.text.slice(open));
  if (match === null) {
    throw new TopologyError(`expected [size=NUMBER] with K, M, G or T, got ${line.text.slice(open)}`, {
      line: line.line,
    });
  }
  const unit = match[2] ?? '';
  return Number(match[1]) * BYTES_PER_UNIT ** (unit === '' ? 0 : SIZE_UNITS.indexOf(unit) + 1);
}

function marksOf(text: string, where: string): readonly BarFlag[] {
  const flags: BarFlag[] = [];
  if (/\[disabled(?: by cmd)?\]/u.test(text)) flags.push('disabled');
  if (text.includes('[virtual]')) flags.push('virtual');
  if (where.includes('<unassigned>') || where.includes('<broken')) flags.push('unassigned');
  if (where.includes('<ignored>')) flags.push('ignored');
  return flags;
}
