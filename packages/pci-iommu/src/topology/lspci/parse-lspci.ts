import type { Bdf } from '../bdf.ts';
import type { ReadingWarning } from '../read/machine-reading.ts';
import { TopologyError } from '../topology-error.ts';
import { ConfigBytes } from './config-bytes.ts';
import { FunctionText } from './function-text.ts';
import { type LogicalLine, logicalLines } from './logical-lines.ts';
import { withConfig } from './merge-functions.ts';
import type { RawFunction } from './raw-function.ts';

/** What a listing holds. */
export interface LspciListing {
  /** Functions in the order of their first appearance. */
  readonly functions: readonly RawFunction[];
  /** What was left out, one sentence each. */
  readonly warnings: readonly ReadingWarning[];
}

/** One device of the listing while it is read. */
interface Block {
  readonly text: FunctionText;
  readonly config: ConfigBytes;
}

/**
 * Parses the output of `lspci` with any of `-v`, `-vv`, `-vvv`, `-n`, `-nn`, `-D`, `-x`, `-xxx`, `-xxxx`: words and hex
 * dumps, several devices, also inside other text such as a mail.
 *
 * A function that appears again adds its hex dump to the first appearance; a second set of words is left out with a
 * warning (a listing from before and after something).
 *
 * @throws TopologyError with the line, when a line of a device cannot be read or no device is found
 */
export function parseLspci(text: string): LspciListing {
  const blocks = readBlocks(logicalLines(text));
  if (blocks.length === 0) {
    throw new TopologyError('expected output of lspci: no line such as "00:1c.0 PCI bridge: ..." found', { line: 1 });
  }
  const warnings: ReadingWarning[] = [];
  const functions = new Map<Bdf, RawFunction>();
  const detailed = new Set<Bdf>();
  for (const block of blocks) {
    const { bdf } = block.text;
    const config = block.config.isEmpty ? null : block.config.finish();
    const known = functions.get(bdf);
    let facts = known ?? block.text.finish();
    if (block.text.hasDetails) {
      if (known !== undefined && detailed.has(bdf)) {
        warnings.push({ line: block.text.line, text: `${bdf}: listed again; the first listing is kept` });
        continue;
      }
      if (known !== undefined) facts = addConfig(block.text.finish(), known.config);
      detailed.add(bdf);
    }
    functions.set(bdf, addConfig(facts, config));
  }
  return { functions: [...functions.values()], warnings };
}

function addConfig(facts: RawFunction, config: Uint8Array | null): RawFunction {
  if (config === null || (facts.config !== null && facts.config.length >= config.length)) return facts;
  return withConfig(facts, config);
}

function readBlocks(lines: readonly LogicalLine[]): readonly Block[] {
  const blocks: Block[] = [];
  // Attributes must follow their header at once; a hex dump may stand after blank lines.
  let open: Block | undefined;
  for (const line of lines) {
    const last = blocks.at(-1);
    switch (line.kind) {
      case 'header':
        open = { text: new FunctionText(line), config: new ConfigBytes() };
        blocks.push(open);
        break;
      case 'attribute':
        open?.text.add(line);
        break;
      case 'hex':
        if (last === undefined) {
          throw new TopologyError('expected a device line before the hex dump', { line: line.line });
        }
        last.config.add(line);
        break;
      case 'break':
        open = undefined;
        break;
    }
  }
  return blocks;
}
