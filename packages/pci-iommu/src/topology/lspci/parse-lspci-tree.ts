import { formatBdf, type BdfParts } from '../bdf.ts';
import { TopologyError } from '../topology-error.ts';
import { namedIds } from './header-line.ts';
import { type RawFunction, unknownFunction } from './raw-function.ts';

const TOKEN_PATTERN =
  /\[(?:([0-9a-f]{4,8}):)?([0-9a-f]{2})(?:-([0-9a-f]{2}))?\]|(?<=-)([0-9a-f]{2})\.([0-7])(?= {2}|-\[|$)/giu;
const TREE_LINE_PATTERN = /^[ |]*[-+\\]?[-+\\]-?\[|^[ |]*[+\\]-[0-9a-f]{2}\.[0-7]/iu;
const PCI_BRIDGE_CLASS = 0x06_0400;

/** A bus that the drawing has opened. */
interface DrawnBus {
  readonly domain: number;
  readonly bus: number;
}

/**
 * Parses the drawing of `lspci -t`, `-tv` or `-tvnn`: names and bus numbers of all functions, nothing else.
 *
 * @throws TopologyError when no drawing is found or a function stands below no bus
 */
export function parseLspciTree(text: string): readonly RawFunction[] {
  const functions: RawFunction[] = [];
  const busOfColumn = new Map<number, DrawnBus>();
  text.split('\n').forEach((raw, index) => {
    const line = raw.trimEnd();
    if (!TREE_LINE_PATTERN.test(line)) return;
    readTreeLine(line, index + 1, busOfColumn, functions);
  });
  if (functions.length === 0) {
    throw new TopologyError('expected a drawing of lspci -t: no line such as "-[0000:00]-+-00.0" found', { line: 1 });
  }
  return functions;
}

function readTreeLine(
  line: string,
  number: number,
  busOfColumn: Map<number, DrawnBus>,
  functions: RawFunction[],
): void {
  let opened: DrawnBus | undefined;
  let domain = 0;
  let current: RawFunction | undefined;
  for (const match of line.matchAll(TOKEN_PATTERN)) {
    const [, rootDomain, bus, lastBus, slot, func] = match;
    if (bus !== undefined) {
      const secondary = Number.parseInt(bus, 16);
      if (rootDomain !== undefined) domain = Number.parseInt(rootDomain, 16);
      opened = { domain, bus: secondary };
      if (current !== undefined) {
        current = asBridge(current, secondary, Number.parseInt(lastBus ?? bus, 16));
        functions[functions.length - 1] = current;
      }
      continue;
    }
    const column = match.index;
    const on = opened ?? busOfColumn.get(column);
    if (on === undefined) {
      throw new TopologyError(`expected ${slot ?? ''}.${func ?? ''} below a bus such as [0000:00]`, { line: number });
    }
    opened = undefined;
    domain = on.domain;
    busOfColumn.set(column, on);
    const end = column + match[0].length;
    current = newFunction({ ...on, slot: Number.parseInt(slot ?? '', 16), func: Number(func) }, number);
    functions.push(current);
    if (line.startsWith('  ', end)) {
      const { vendor, device, name } = namedIds(line.slice(end).trim());
      functions[functions.length - 1] = { ...current, vendor, device, deviceName: name };
      return;
    }
  }
}

function newFunction(parts: BdfParts, line: number): RawFunction {
  return unknownFunction(formatBdf(parts), line);
}

function asBridge(fn: RawFunction, secondary: number, subordinate: number): RawFunction {
  return {
    ...fn,
    class: PCI_BRIDGE_CLASS,
    headerType: 1,
    bus: { primary: Number.parseInt(fn.bdf.slice(-7, -5), 16), secondary, subordinate },
  };
}
