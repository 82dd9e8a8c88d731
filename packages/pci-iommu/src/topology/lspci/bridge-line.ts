import type { BridgeWindowDescription, BridgeWindowKind } from '../description/machine-description.ts';
import { TopologyError } from '../topology-error.ts';
import type { LogicalLine } from './logical-lines.ts';
import type { RawBusNumbers } from './raw-function.ts';

const BUS_PATTERN = /^Bus: primary=([0-9a-f]{2}), secondary=([0-9a-f]{2}), subordinate=([0-9a-f]{2})\b/iu;
const WINDOW_PATTERN = /^(I\/O|Memory|Prefetchable memory) behind bridge:\s*(.*)$/u;
const RANGE_PATTERN = /^([0-9a-f]+)-([0-9a-f]+)\b(.*)$/iu;
const WINDOW_KINDS: Readonly<Record<string, BridgeWindowKind>> = {
  'I/O': 'io',
  Memory: 'mem',
  'Prefetchable memory': 'prefetch',
};

/** Whether a line of a device tells a bridge's bus numbers. */
export function isBusLine(text: string): boolean {
  return text.startsWith('Bus: ');
}

/**
 * Reads `Bus: primary=00, secondary=01, subordinate=13`.
 *
 * @throws TopologyError when a number is missing
 */
export function parseBusLine(line: LogicalLine): RawBusNumbers {
  const match = BUS_PATTERN.exec(line.text);
  if (match === null) {
    throw new TopologyError(
      `expected "Bus: primary=XX, secondary=XX, subordinate=XX", got ${JSON.stringify(line.text)}`,
      { line: line.line },
    );
  }
  return {
    primary: Number.parseInt(match[1] ?? '', 16),
    secondary: Number.parseInt(match[2] ?? '', 16),
    subordinate: Number.parseInt(match[3] ?? '', 16),
  };
}

/** Whether a line of a device describes a bridge's window. */
export function isWindowLine(text: string): boolean {
  return WINDOW_PATTERN.test(text);
}

/**
 * Reads `Memory behind bridge: df000000-df2fffff [size=3M]`.
 *
 * @returns the window, or `null` when it is disabled
 * @throws TopologyError when it is neither a range, `None` nor `[disabled]`
 */
export function parseWindowLine(line: LogicalLine): BridgeWindowDescription | null {
  const match = WINDOW_PATTERN.exec(line.text);
  const kind = WINDOW_KINDS[match?.[1] ?? ''];
  const value = match?.[2] ?? '';
  if (value.startsWith('None') || value.startsWith('[disabled]')) return null;
  const range = RANGE_PATTERN.exec(value);
  if (kind === undefined || range === null) {
    throw new TopologyError(`expected a range START-END, None or [disabled], got ${JSON.stringify(value)}`, {
      line: line.line,
    });
  }
  const start = Number.parseInt(range[1] ?? '', 16);
  const end = Number.parseInt(range[2] ?? '', 16);
  const disabled = (range[3] ?? '').includes('[disabled]') || end < start;
  return disabled ? null : { kind, start, end };
}
