import { formatBdf, type BdfParts, formatBus } from '../bdf.ts';
import { ReadingNotes } from '../read/reading-notes.ts';
import { TopologyError } from '../topology-error.ts';
import { namedIds } from './header-line.ts';
import { type LogicalLine, logicalLines } from './logical-lines.ts';
import { type RawFunction, unknownFunction } from './raw-function.ts';

const TOKEN_PATTERN =
  /\[(?:([0-9a-f]{4,8}):)?([0-9a-f]{2})(?:-([0-9a-f]{2}))?\]|(?<=[-+\\])([0-9a-f]{2})\.([0-7])(?= {2}|-\[|$)/giu;
const PCI_BRIDGE_CLASS = 0x06_0400;
/** Levels of a drawing are further apart than mails and editors move its lines. */
const COLUMN_SLACK = 4;

/** A bus that the drawing has opened. */
interface DrawnBus {
  readonly domain: number;
  readonly bus: number;
}

/** What a drawing shows. */
export interface LspciDrawing {
  readonly functions: readonly RawFunction[];
  /** Buses (`0000:40`) drawn as roots. */
  readonly rootBuses: ReadonlySet<string>;
}

/**
 * Parses the drawing of `lspci -t`, `-tv` or `-tvnn`: names and bus numbers of all functions, nothing else.
 *
 * @throws TopologyError when no drawing is found or a function stands below no bus
 */
export function parseLspciTree(text: string): readonly RawFunction[] {
  const { functions } = drawingOfLines(logicalLines(text), new ReadingNotes(false));
  if (functions.length === 0) {
    throw new TopologyError('expected a drawing of lspci -t: no line such as "-[0000:00]-+-00.0" found', { line: 1 });
  }
  return functions;
}

/**
 * {@link parseLspciTree} for lines that are cut already; finding no drawing is no error.
 *
 * @throws TopologyError unless the notes are lenient
 */
export function drawingOfLines(lines: readonly LogicalLine[], notes: ReadingNotes): LspciDrawing {
  const reader = new TreeReader(notes);
  lines.forEach((line, index) => {
    if (line.kind !== 'tree') return;
    reader.read(line);
    const next = lines[index + 1];
    if (next !== undefined && (next.kind === 'attribute' || next.kind === 'other')) reader.nameLast(next.text);
  });
  return reader;
}

class TreeReader implements LspciDrawing {
  readonly functions: RawFunction[] = [];
  readonly rootBuses = new Set<string>();
  readonly #notes: ReadingNotes;
  readonly #busOfColumn = new Map<number, DrawnBus>();
  readonly #drawn = new Set<string>();
  /** The last line ended with a function and no name. */
  #isNameless = false;

  constructor(notes: ReadingNotes) {
    this.#notes = notes;
  }

  read(line: LogicalLine): void {
    // Mails mark bold words with asterisks.
    const text = line.text.replaceAll('*', ' ').replace(/(\]) (-{2,})/gu, '$1-$2');
    let opened: DrawnBus | null = null;
    let current: RawFunction | null = null;
    this.#isNameless = false;
    for (const match of text.matchAll(TOKEN_PATTERN)) {
      const [token, rootDomain, bus, lastBus, slot, func] = match;
      const end = match.index + token.length;
      if (bus !== undefined) {
        opened = this.#open(current, rootDomain, bus, lastBus ?? bus, line.line);
        if (opened === null) return;
        continue;
      }
      const on: DrawnBus | null = opened ?? this.#busAt(match.index);
      if (on === null) {
        this.#notes.refuse(`expected ${slot ?? ''}.${func ?? ''} below a bus such as [0000:00]`, line.line);
        return;
      }
      opened = null;
      this.#busOfColumn.set(match.index, on);
      current = this.#add({ ...on, slot: Number.parseInt(slot ?? '', 16), func: Number(func) }, line.line);
      if (current === null) return;
      this.#isNameless = end === text.length;
      if (text.startsWith('  ', end)) {
        this.#name(current, text.slice(end).trim());
        return;
      }
    }
  }

  /** Takes the line after a drawn one: a name that a mailer wrapped. */
  nameLast(text: string): void {
    const last = this.functions.at(-1);
    if (this.#isNameless && last !== undefined) this.#name(last, text);
    this.#isNameless = false;
  }

  #open(
    current: RawFunction | null,
    rootDomain: string | undefined,
    bus: string,
    lastBus: string,
    line: number,
  ): DrawnBus | null {
    const secondary = Number.parseInt(bus, 16);
    const domain = rootDomain === undefined ? domainOf(current) : Number.parseInt(rootDomain, 16);
    if (domain === null) {
      this.#notes.refuse(`expected a function before [${bus}], or a root bus such as [0000:${bus}]`, line);
      return null;
    }
    if (current === null) this.rootBuses.add(formatBus(domain, secondary));
    else this.functions[this.functions.length - 1] = asBridge(current, secondary, Number.parseInt(lastBus, 16));
    return { domain, bus: secondary };
  }

  #busAt(column: number): DrawnBus | null {
    for (let slack = 0; slack <= COLUMN_SLACK; slack++) {
      const found = this.#busOfColumn.get(column - slack) ?? this.#busOfColumn.get(column + slack);
      if (found !== undefined) return found;
    }
    return null;
  }

  #add(parts: BdfParts, line: number): RawFunction | null {
    const fn = unknownFunction(formatBdf(parts), line);
    if (parts.slot > 0x1f) {
      this.#notes.refuse(`expected a device of at most 1f, got ${fn.bdf}`, line);
      return null;
    }
    if (this.#drawn.has(fn.bdf)) {
      this.#notes.warn(`${fn.bdf}: drawn again; the first drawing is kept`, line);
      return null;
    }
    this.#drawn.add(fn.bdf);
    this.functions.push(fn);
    return fn;
  }

  #name(fn: RawFunction, text: string): void {
    const { vendor, device, name, byName } = namedIds(text);
    this.functions[this.functions.length - 1] = { ...fn, vendor, device, deviceName: name, idsByName: byName };
  }
}

function domainOf(fn: RawFunction | null): number | null {
  return fn === null ? null : Number.parseInt(fn.bdf, 16);
}

function asBridge(fn: RawFunction, secondary: number, subordinate: number): RawFunction {
  return {
    ...fn,
    class: PCI_BRIDGE_CLASS,
    headerType: 1,
    bus: { primary: Number.parseInt(fn.bdf.slice(-7, -5), 16), secondary, subordinate },
  };
}
