import type { Bdf } from '../bdf.ts';
import type { BootLog } from '../listing/boot-log.ts';
import { columnFunctions } from '../listing/column-lines.ts';
import { groupEntries } from '../listing/group-lines.ts';
import type { IoMemory } from '../listing/iomem.ts';
import { mentionedFunctions } from '../listing/mentions.ts';
import { fillUnknown } from '../lspci/fill-unknown.ts';
import type { LineKind, LogicalLine } from '../lspci/logical-lines.ts';
import { drawingOfLines } from '../lspci/parse-lspci-tree.ts';
import { type ListedLines, listingOfLines } from '../lspci/parse-lspci.ts';
import type { RawFunction } from '../lspci/raw-function.ts';
import type { MachineFormat } from './machine-reading.ts';
import type { ReadingNotes } from './reading-notes.ts';

/** All functions of a text, whatever it shows them in. */
export interface TextFunctions {
  readonly format: MachineFormat;
  readonly functions: readonly RawFunction[];
  /** Buses (`0000:40`) drawn as roots. */
  readonly rootBuses: ReadonlySet<string>;
}

/** As many as one domain can have. */
const MAX_FUNCTIONS = 0x1_0000;
/** Lines that are listings and no messages. */
const LISTING_KINDS: ReadonlySet<LineKind> = new Set<LineKind>(['header', 'hex', 'tree', 'blank']);

/**
 * Joins what listings, drawings, group listings, the boot log and messages tell of each function. Of two sources the one
 * that stands first here wins; what it does not tell comes from the next.
 *
 * @throws TopologyError when a line is damaged, unless the notes are lenient
 */
export function functionsOfText(
  lines: readonly LogicalLine[],
  log: BootLog,
  memory: IoMemory,
  notes: ReadingNotes,
): TextFunctions {
  const listed = listingOfLines(lines, notes);
  const drawing = drawingOfLines(lines, notes);
  const columns = columnFunctions(lines);
  const isDetailed = listed.functions.some((fn) => fn.barsShown);
  const joined = new FunctionTable(notes);
  joined.addAll(listed.functions);
  joined.addAll(drawing.functions);
  joined.addAll(columns);
  const isListed = joined.size > 0;
  joined.addFound(log.functions, isListed);
  // Prose that is moved to the right looks like what is told about a device.
  if (isDetailed) joined.fill(mentionedFunctions(lines, new Set<LineKind>([...LISTING_KINDS, 'attribute'])));
  else joined.addAll(mentionedFunctions(lines, LISTING_KINDS));
  return {
    format: isListed
      ? formatOf(lines, isDetailed, listed.functions.length, drawing.functions.length, columns.length)
      : 'boot-log',
    functions: withOrphanControls(joined.functions, listed, notes).map((fn) => withSizes(fn, memory)),
    rootBuses: drawing.rootBuses,
  };
}

function formatOf(
  lines: readonly LogicalLine[],
  isDetailed: boolean,
  listed: number,
  drawn: number,
  columns: number,
): MachineFormat {
  if (isDetailed) return 'lspci';
  if (drawn > 0) return 'lspci-tree';
  const grouped = groupEntries(lines).filter(({ form }) => form === 'heading').length;
  return columns > 0 || grouped * 2 > listed ? 'group-listing' : 'lspci';
}

/** Functions by name, each joined from what several sources tell. */
class FunctionTable {
  readonly #notes: ReadingNotes;
  readonly #functions = new Map<Bdf, RawFunction>();

  constructor(notes: ReadingNotes) {
    this.#notes = notes;
  }

  get size(): number {
    return this.#functions.size;
  }

  get functions(): readonly RawFunction[] {
    return [...this.#functions.values()];
  }

  addAll(functions: readonly RawFunction[]): void {
    for (const fn of functions) {
      const known = this.#functions.get(fn.bdf);
      if (known !== undefined) this.#warnDifferent(known, fn);
      else if (this.#functions.size >= MAX_FUNCTIONS) {
        this.#notes.refuse(`${fn.bdf}: expected at most ${MAX_FUNCTIONS} functions`, fn.line);
        return;
      }
      this.#functions.set(fn.bdf, known === undefined ? fn : fillUnknown(known, fn));
    }
  }

  /** What the boot log tells; beside a listing it only tells more of functions without details. */
  addFound(functions: readonly RawFunction[], isListed: boolean): void {
    for (const fn of functions) {
      const known = this.#functions.get(fn.bdf);
      if (known === undefined && isListed) {
        this.#notes.warn(`${fn.bdf}: found by the kernel, but not listed; left out`, fn.line);
      } else if (known === undefined || !known.barsShown) this.addAll([fn]);
    }
  }

  /** Adds to known functions only. */
  fill(functions: readonly RawFunction[]): void {
    this.addAll(functions.filter((fn) => this.#functions.has(fn.bdf)));
  }

  #warnDifferent(known: RawFunction, other: RawFunction): void {
    const text = (fn: RawFunction): string => `${digits(fn.vendor)}:${digits(fn.device)}`;
    const both = known.device !== null && other.device !== null && !known.idsByName && !other.idsByName;
    if (both && text(known) !== text(other)) {
      this.#notes.warn(
        `${known.bdf}: ids ${text(other)} left out, line ${known.line} tells ${text(known)}`,
        other.line,
      );
    }
    const [a, b] = [known.bus, other.bus];
    if (a !== null && b !== null && (a.secondary !== b.secondary || a.subordinate !== b.subordinate)) {
      const range = `${b.secondary}..${b.subordinate}`;
      this.#notes.warn(`${known.bdf}: bus numbers ${range} left out, line ${known.line} tells others`, other.line);
    }
  }
}

function digits(id: number | null): string {
  return id === null ? '----' : id.toString(16).padStart(4, '0');
}

/** `ACSCtl:` lines of all ports without their names tell something when they are all the same. */
function withOrphanControls(
  functions: readonly RawFunction[],
  { orphanControls }: ListedLines,
  notes: ReadingNotes,
): readonly RawFunction[] {
  const [first] = orphanControls;
  if (first === undefined) return functions;
  const control = `0x${first.control.toString(16).padStart(2, '0')}`;
  const count = `${orphanControls.length} ACSCtl lines without a function`;
  if (orphanControls.some((orphan) => orphan.control !== first.control)) {
    notes.warn(`${count} are left out: they differ, so it is not known whose they are`, first.line);
    return functions;
  }
  notes.warn(`${count} all tell ${control}: taken as the control word of every function that has ACS`, first.line);
  return functions.map((fn) =>
    fn.acs === 'unknown' && fn.acsControlIfAny === null ? { ...fn, acsControlIfAny: first.control } : fn,
  );
}

/** Sizes of BARs that only /proc/iomem tells. */
function withSizes(fn: RawFunction, memory: IoMemory): RawFunction {
  const sizes = memory.sizes.get(fn.bdf);
  if (sizes === undefined || fn.bars.every((bar) => bar.size !== null)) return fn;
  return {
    ...fn,
    bars: fn.bars.map((bar) => (bar.size === null ? { ...bar, size: sizes.get(bar.address ?? -1) ?? null } : bar)),
  };
}
