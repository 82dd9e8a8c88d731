import { type Bdf, formatBdf, tryParseBdf } from '../bdf.ts';
import { TopologyError } from '../topology-error.ts';
import type { LogicalLine } from './logical-lines.ts';
import { classOfName, idsOfNames } from './named-ids.ts';

/** What the first line of a device tells. */
export interface HeaderFacts {
  readonly bdf: Bdf;
  readonly vendor: number | null;
  readonly device: number | null;
  readonly idsByName: boolean;
  readonly class: number | null;
  readonly className: string;
  readonly deviceName: string;
  readonly revision: number | null;
}

const NUMERIC_PATTERN = /^(?:Class )?([0-9a-f]{4}): ([0-9a-f]{4}):([0-9a-f]{4})\b/iu;
const NAMED_PATTERN = /^(.+?)(?: \[([0-9a-f]{4})\])?: (.*)$/iu;
const IDS_PATTERN = / ?\[([0-9a-f]{4}):([0-9a-f]{4})\]/iu;
const REVISION_PATTERN = / ?\(rev ([0-9a-f]{2})\)/iu;
const PROG_IF_PATTERN = / ?\(prog-if ([0-9a-f]{2})[^)]*\)?/iu;
const UNNAMED_DEVICE_PATTERN = /^(.*) Device ([0-9a-f]{4})$/iu;

/**
 * Reads the first line of a device, in any of the forms of `lspci`, `-n`, `-nn`, `-D`.
 *
 * @throws TopologyError when it is not `bdf class: vendor device`
 */
export function parseHeaderLine(line: LogicalLine): HeaderFacts {
  const space = line.text.indexOf(' ');
  const name = line.text.slice(0, space);
  const parts = tryParseBdf(name);
  if (parts === undefined) {
    throw new TopologyError(`expected a PCI function (device at most 1f, function at most 7), got ${name}`, {
      line: line.line,
    });
  }
  const bdf = formatBdf(parts);
  const rest = line.text.slice(space + 1);
  const revision = hexOf(REVISION_PATTERN.exec(rest)?.[1]);
  const progIf = hexOf(PROG_IF_PATTERN.exec(rest)?.[1]);
  const body = rest.replace(REVISION_PATTERN, '').replace(PROG_IF_PATTERN, '').trim();
  const numeric = NUMERIC_PATTERN.exec(body);
  if (numeric !== null) {
    return {
      bdf,
      vendor: hexOf(numeric[2]),
      device: hexOf(numeric[3]),
      idsByName: false,
      class: withProgIf(hexOf(numeric[1]), progIf),
      className: '',
      deviceName: '',
      revision,
    };
  }
  const named = NAMED_PATTERN.exec(body);
  if (named === null) {
    throw new TopologyError(`expected "class: vendor device" after ${name}, got ${JSON.stringify(body)}`, {
      line: line.line,
    });
  }
  const className = named[1] ?? '';
  const ids = namedIds(named[3] ?? '');
  return {
    bdf,
    vendor: ids.vendor,
    device: ids.device,
    idsByName: ids.byName,
    class: withProgIf(hexOf(named[2]) ?? classOfName(className), progIf),
    className,
    deviceName: ids.name,
    revision,
  };
}

/** What names tell of a function's ids. */
export interface NamedFunction {
  readonly vendor: number | null;
  readonly device: number | null;
  /** The names as spelt. */
  readonly name: string;
  /** Whether the device id was looked up by its name. */
  readonly byName: boolean;
}

/** Ids from `Vendor Name Device Name [vvvv:dddd]`; without the brackets, what the names alone prove. */
export function namedIds(text: string): NamedFunction {
  const ids = IDS_PATTERN.exec(text);
  const name = text.replace(IDS_PATTERN, '').trim();
  if (ids !== null) return { vendor: hexOf(ids[1]), device: hexOf(ids[2]), name, byName: false };
  const named = idsOfNames(name);
  const unnamed = named.device === null ? hexOf(UNNAMED_DEVICE_PATTERN.exec(name)?.[2]) : null;
  return { vendor: named.vendor, device: unnamed ?? named.device, name, byName: named.device !== null };
}

function withProgIf(classCode: number | null, progIf: number | null): number | null {
  return classCode === null ? null : classCode * 0x100 + (progIf ?? 0);
}

function hexOf(text: string | undefined): number | null {
  return text === undefined ? null : Number.parseInt(text, 16);
}
