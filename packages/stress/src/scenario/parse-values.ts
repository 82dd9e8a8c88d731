import { DEFAULT_FAULTS } from './default-scenario.ts';
import { shown, suggestion } from './problem.ts';
import {
  EXPORTER_KINDS,
  FAULT_KINDS,
  IMPORTER_KINDS,
  type ExporterKind,
  type FaultKind,
  type FaultRates,
  type ImporterCount,
  type ImporterKind,
} from './scenario.ts';

/** Most engines of one kind, and in all. */
export const MAX_ENGINES = 64;
/** Most events a second that a rate may ask for. */
export const MAX_RATE = 10_000;
/** Longest run: a day. */
export const MAX_DURATION_MS = 86_400_000;

/** A text that does not parse; says what was expected and found. */
export class ValueError extends Error {
  constructor(expected: string, found: unknown, hint = '') {
    super(`expected ${expected}, got ${shown(found)}${hint}`);
    this.name = 'ValueError';
  }
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of `10s`, `500ms`, `2m` or a bare number of seconds. @throws ValueError */
export function parseDuration(value: unknown): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(String(value));
  const ms = match === null ? Number.NaN : Number(match[1]) * UNIT_MS[match[2] ?? 's']!;
  if (!(ms > 0 && ms <= MAX_DURATION_MS)) {
    throw new ValueError('a duration such as 10s, 500ms or 2m (up to 24h)', value);
  }
  return ms;
}

/** One of `names`. @throws ValueError */
export function parseName<T extends string>(what: string, names: readonly T[], value: unknown): T {
  if (names.includes(value as T)) return value as T;
  throw new ValueError(`${what} (${names.join(', ')})`, value, suggestion(String(value), names));
}

/** A whole number in a range. @throws ValueError */
export function parseWhole(least: number, most: number, value: unknown): number {
  const n = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
  if (typeof n === 'number' && Number.isInteger(n) && n >= least && n <= most) return n;
  throw new ValueError(`a whole number from ${least} to ${most}`, value);
}

/** Events a second of `5/s`, `0.5/s`, `30/m`, or a number; a probability of `1%` or a number from 0 to 1 for `alloc`. */
export function parseRate(kind: FaultKind, value: unknown): number {
  if (kind === 'alloc') {
    const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(String(value));
    const p = match === null ? Number.NaN : Number(match[1]) / (match[2] === '%' ? 100 : 1);
    if (p >= 0 && p <= 1) return p;
    throw new ValueError('a probability such as 1% or 0.01', value);
  }
  const match = /^(\d+(?:\.\d+)?)(?:\/(s|m))?$/.exec(String(value));
  const rate = match === null ? Number.NaN : Number(match[1]) / (match[2] === 'm' ? 60 : 1);
  if (rate >= 0 && rate <= MAX_RATE) return rate;
  throw new ValueError(`a rate such as 5/s, 30/m or 0 (up to ${MAX_RATE}/s)`, value);
}

/** `odp=2,gpu=1`; a kind without a number counts once. @throws ValueError */
export function parseImporters(text: string): ImporterCount[] {
  return entries(text).map(([name, value]) => ({
    kind: parseName<ImporterKind>('an importer kind', IMPORTER_KINDS, name),
    count: value === undefined ? 1 : parseWhole(0, MAX_ENGINES, value),
  }));
}

/** `vfio`, `rdma`, `heap`, a list of them, or `both` for VFIO and RDMA. @throws ValueError */
export function parseExporters(text: string): ExporterKind[] {
  if (text === 'both') return ['vfio', 'rdma'];
  const kinds = entries(text).map(([name]) => parseName('an exporter (or both)', EXPORTER_KINDS, name));
  return [...new Set(kinds)];
}

/** `revoke=50/s,alloc=1%` over `base`; `none` sets every rate to zero first. @throws ValueError */
export function parseFaults(text: string, base: FaultRates = DEFAULT_FAULTS): FaultRates {
  let rates = base;
  for (const [name, value] of entries(text)) {
    if (name === 'none' && value === undefined) {
      rates = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as unknown as FaultRates;
      continue;
    }
    const kind = parseName('a fault', FAULT_KINDS, name);
    if (value === undefined) throw new ValueError(`a rate behind ${kind}, such as ${kind}=2/s`, name);
    rates = { ...rates, [kind]: parseRate(kind, value) };
  }
  return rates;
}

function entries(text: string): [name: string, value: string | undefined][] {
  const parts = text.split(',').map((part) => part.trim());
  if (parts.some((part) => part === '')) throw new ValueError('a list of names separated by commas', text);
  return parts.map((part) => {
    const at = part.indexOf('=');
    return at < 0 ? [part, undefined] : [part.slice(0, at).trim(), part.slice(at + 1).trim()];
  });
}
