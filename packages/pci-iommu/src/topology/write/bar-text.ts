import type { BarDescription, BridgeWindowDescription, BridgeWindowKind } from '../description/machine-description.ts';
import type { TopologyFunction } from '../tree/topology-function.ts';
import { hexDigits, linesAt, sizeText, type TextLine } from './words.ts';

const WINDOW_NAMES: Readonly<Record<BridgeWindowKind, string>> = {
  io: 'I/O',
  mem: 'Memory',
  prefetch: 'Prefetchable memory',
};
const WINDOW_DIGITS: Readonly<Record<BridgeWindowKind, number>> = { io: 4, mem: 8, prefetch: 8 };
const FOUR_GIB = 2 ** 32;

/** `Region 0: Memory at ...` for each BAR, and the ROM. */
export function barLines(fn: TopologyFunction): readonly TextLine[] {
  const { rom } = fn.description;
  const bars = fn.bars.toSorted((a, b) => a.index - b.index).map((bar) => barText(bar));
  if (rom === undefined) return linesAt(1, ...bars);
  const where = rom.start === 0 ? '<unassigned>' : hexDigits(rom.start, 8);
  return linesAt(1, ...bars, `Expansion ROM at ${where} [disabled] ${sizeText(rom.size)}`);
}

function barText(bar: BarDescription): string {
  const flags = bar.flags ?? [];
  const where = flags.includes('ignored')
    ? '<ignored>'
    : flags.includes('unassigned')
      ? '<unassigned>'
      : hexDigits(bar.start, bar.kind === 'io' ? 4 : 8);
  const kind =
    bar.kind === 'io'
      ? ''
      : ` (${bar.kind === 'mem64' ? '64' : '32'}-bit, ${bar.prefetchable ? '' : 'non-'}prefetchable)`;
  return [
    `Region ${bar.index}: `,
    flags.includes('virtual') ? '[virtual] ' : '',
    `${bar.kind === 'io' ? 'I/O ports' : 'Memory'} at ${where}${kind}`,
    flags.includes('disabled') ? ' [disabled]' : '',
    flags.includes('size-unknown') ? '' : ` ${sizeText(bar.size)}`,
  ].join('');
}

/** What a bridge forwards; kinds without a window are disabled. */
export function windowLines(windows: readonly BridgeWindowDescription[]): readonly TextLine[] {
  return linesAt(
    1,
    ...(['io', 'mem', 'prefetch'] as const).flatMap((kind) => {
      const known = windows.filter((window) => window.kind === kind);
      if (known.length === 0) return [`${WINDOW_NAMES[kind]} behind bridge: [disabled]`];
      return known.map((window) => windowText(window));
    }),
  );
}

function windowText({ kind, start, end }: BridgeWindowDescription): string {
  const digits = kind === 'prefetch' && end >= FOUR_GIB ? 16 : WINDOW_DIGITS[kind];
  const range = `${hexDigits(start, digits)}-${hexDigits(end, digits)}`;
  const width = kind === 'io' ? (end > 0xffff ? '32' : '16') : end >= FOUR_GIB ? '64' : '32';
  return `${WINDOW_NAMES[kind]} behind bridge: ${range} ${sizeText(end - start + 1)} [${width}-bit]`;
}
