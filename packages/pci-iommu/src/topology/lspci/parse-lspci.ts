import type { ReadingWarning } from '../read/machine-reading.ts';
import { ReadingNotes } from '../read/reading-notes.ts';
import { TopologyError } from '../topology-error.ts';
import { parseAcsFlags } from './capability-line.ts';
import { FunctionList } from './function-list.ts';
import { type LogicalLine, logicalLines } from './logical-lines.ts';
import { readBlocks } from './read-blocks.ts';
import type { RawFunction } from './raw-function.ts';

/** What a listing holds. */
export interface LspciListing {
  /** Functions in the order of their first appearance. */
  readonly functions: readonly RawFunction[];
  /** What was left out, one sentence each. */
  readonly warnings: readonly ReadingWarning[];
}

/**
 * Parses the output of `lspci` with any of `-v`, `-vv`, `-vvv`, `-n`, `-nn`, `-D`, `-x`, `-xxx`, `-xxxx`: words and hex
 * dumps, several devices, also inside other text such as a mail.
 *
 * A function that appears again adds its hex dump to the first appearance; of two sets of words the one that tells more is
 * kept, with a warning (a listing from before and after something).
 *
 * @throws TopologyError with the line, when a line of a device cannot be read or no device is found
 */
export function parseLspci(text: string): LspciListing {
  const notes = new ReadingNotes(false);
  const { functions } = listingOfLines(logicalLines(text), notes);
  if (functions.length === 0) {
    throw new TopologyError('expected output of lspci: no line such as "00:1c.0 PCI bridge: ..." found', { line: 1 });
  }
  return { functions, warnings: notes.warnings };
}

/** What the lines of a listing hold. */
export interface ListedLines {
  readonly functions: readonly RawFunction[];
  /** Bits of the `ACSCtl:` lines of which a filter took the device's first line away, with their lines. */
  readonly orphanControls: readonly { readonly line: number; readonly control: number }[];
}

/**
 * {@link parseLspci} for lines that are cut already; finding no function is no error.
 *
 * @throws TopologyError unless the notes are lenient
 */
export function listingOfLines(lines: readonly LogicalLine[], notes: ReadingNotes): ListedLines {
  const list = new FunctionList(notes);
  const orphans = readBlocks(lines, notes, (block) => list.add(block));
  const orphanControls = orphans.flatMap((line) => {
    const control = notes.attempt(() => parseAcsFlags(line));
    return control === undefined ? [] : [{ line: line.line, control }];
  });
  return { functions: list.functions, orphanControls };
}
