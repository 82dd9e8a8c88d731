import { formatBdf, tryParseBdf } from '../bdf.ts';
import type { ReadingNotes } from '../read/reading-notes.ts';
import { ConfigBytes } from './config-bytes.ts';
import { FunctionText } from './function-text.ts';
import type { LogicalLine } from './logical-lines.ts';
import { unknownFunction } from './raw-function.ts';

/** One appearance of a device in a listing. */
export interface Block {
  readonly text: FunctionText;
  readonly config: ConfigBytes;
  readonly line: number;
}

const SELECT_PATTERN = /\blspci\b.* -s ?((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\b/iu;

/**
 * Gathers the lines of each device and hands it over once it is complete.
 *
 * @returns `ACSCtl:` lines of which a filter took the device's first line away
 * @throws TopologyError when a line is damaged, unless the notes are lenient
 */
export function readBlocks(
  lines: readonly LogicalLine[],
  notes: ReadingNotes,
  take: (block: Block) => void,
): readonly LogicalLine[] {
  const reader = new BlockReader(notes, take);
  for (const line of lines) reader.take(line);
  return reader.finish();
}

class BlockReader {
  readonly #notes: ReadingNotes;
  readonly #done: (block: Block) => void;
  readonly #orphans: LogicalLine[] = [];
  /** Attributes must follow their header at once. */
  #open: Block | null = null;
  /** A hex dump may stand after blank lines. */
  #last: Block | null = null;
  /** A device line that could not be read, and the lines of it that were left out with it. */
  #dropped: { line: number; lines: number } | null = null;
  /** Lines of bytes that were left out after one that does not fit; `null` while all fit. */
  #leftBytes: number | null = null;
  /** Lines of the device that a command selects, when a filter took the device's first line away. */
  #selected: LogicalLine | null = null;

  constructor(notes: ReadingNotes, done: (block: Block) => void) {
    this.#notes = notes;
    this.#done = done;
  }

  take(line: LogicalLine): void {
    switch (line.kind) {
      case 'header':
        this.#start(line);
        break;
      case 'attribute':
        this.#addAttribute(line);
        break;
      case 'hex':
        this.#addHex(line);
        break;
      case 'command':
        this.#close();
        this.#selected = line;
        break;
      case 'log':
      case 'blank':
      case 'tree':
      case 'other':
        this.#close();
        break;
    }
  }

  finish(): readonly LogicalLine[] {
    this.#complete();
    return this.#orphans;
  }

  #complete(): void {
    if (this.#last !== null) this.#done(this.#last);
    this.#last = null;
    if (this.#dropped !== null && this.#dropped.lines > 0) {
      this.#notes.warn(`left out: ${this.#dropped.lines} lines of the device in line ${this.#dropped.line}`);
    }
    this.#dropped = null;
    if (this.#leftBytes !== null && this.#leftBytes > 0) {
      this.#notes.warn(`left out: ${this.#leftBytes} further lines of bytes`);
    }
    this.#leftBytes = null;
  }

  #start(line: LogicalLine): void {
    this.#close();
    this.#complete();
    this.#selected = null;
    const text = this.#notes.attempt(() => FunctionText.ofHeader(line));
    if (text === undefined) {
      this.#dropped = { line: line.line, lines: 0 };
      return;
    }
    this.#push({ text, config: new ConfigBytes(), line: line.line });
  }

  #push(block: Block): void {
    this.#open = block;
    this.#last = block;
  }

  #close(): void {
    this.#open?.text.close();
    this.#open = null;
  }

  #addAttribute(line: LogicalLine): void {
    if (this.#dropped !== null) {
      this.#dropped.lines++;
      return;
    }
    if (this.#open === null) this.#openSelected();
    const open = this.#open;
    if (open !== null) this.#notes.attempt(() => open.text.add(line));
    else if (line.text.startsWith('ACSCtl:')) this.#orphans.push(line);
  }

  #openSelected(): void {
    const line = this.#selected;
    const parts = line === null ? undefined : tryParseBdf(SELECT_PATTERN.exec(line.text)?.[1] ?? '');
    if (line === null || parts === undefined) return;
    this.#complete();
    this.#selected = null;
    const text = new FunctionText(unknownFunction(formatBdf(parts), line.line));
    this.#push({ text, config: new ConfigBytes(), line: line.line });
  }

  #addHex(line: LogicalLine): void {
    this.#open?.text.close();
    if (this.#dropped !== null) {
      this.#dropped.lines++;
      return;
    }
    if (this.#leftBytes !== null) {
      this.#leftBytes++;
      return;
    }
    const { config } = this.#last ?? {};
    if (config === undefined) this.#notes.refuse('expected a device line before the hex dump', line.line);
    // Of bytes that do not fit, those that follow say nothing.
    const fits = config !== undefined && this.#notes.attempt(() => config.add(line)) !== undefined;
    this.#leftBytes = fits ? null : 0;
  }
}
