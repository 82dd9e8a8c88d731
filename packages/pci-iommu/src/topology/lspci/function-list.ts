import type { Bdf } from '../bdf.ts';
import type { ReadingNotes } from '../read/reading-notes.ts';
import { fillUnknown } from './fill-unknown.ts';
import { differences, withConfig } from './merge-functions.ts';
import type { RawFunction } from './raw-function.ts';
import type { Block } from './read-blocks.ts';

/** As many as one domain can have. */
const MAX_FUNCTIONS = 0x1_0000;
/** What reads of a function give that does not answer. */
const ALL_ONES = 0xff;

/** Joins what several appearances of a function tell. */
export class FunctionList {
  readonly #notes: ReadingNotes;
  readonly #functions = new Map<Bdf, RawFunction>();
  /** Functions of which words were listed. */
  readonly #detailed = new Set<Bdf>();

  constructor(notes: ReadingNotes) {
    this.#notes = notes;
  }

  /** In the order of their first appearance. */
  get functions(): readonly RawFunction[] {
    return [...this.#functions.values()];
  }

  add(block: Block): void {
    const { bdf, hasDetails } = block.text;
    const known = this.#functions.get(bdf);
    if (known === undefined && this.#functions.size >= MAX_FUNCTIONS) {
      this.#notes.refuse(`${bdf}: expected at most ${MAX_FUNCTIONS} functions`, block.line);
      return;
    }
    const words = block.text.finish();
    const facts = known === undefined ? words : this.#join(known, words, block);
    if (hasDetails) this.#detailed.add(bdf);
    this.#functions.set(bdf, this.#addConfig(facts, block));
  }

  #join(known: RawFunction, words: RawFunction, block: Block): RawFunction {
    const isKnown = known.device !== null && known.class !== null && !known.idsByName;
    if (!block.text.hasDetails) return isKnown ? known : fillUnknown(known, words);
    const isFirst = !this.#detailed.has(known.bdf);
    const tellsMore = rank(words) > rank(known);
    if (!isFirst) {
      const kept = tellsMore ? 'what this one tells more is taken' : 'the first listing is kept';
      this.#notes.warn(`${known.bdf}: listed again; ${kept}`, block.line);
    }
    if (!isFirst && !tellsMore) return known;
    const joined = fillUnknown({ ...words, line: known.line }, known);
    return known.config === null ? joined : withConfig(joined, known.config);
  }

  #addConfig(facts: RawFunction, { config, line }: Block): RawFunction {
    if (config.isEmpty) return facts;
    const bytes = this.#notes.attempt(() => config.finish()) ?? config.finishEarly();
    if (bytes === null || (facts.config !== null && facts.config.length >= bytes.length)) return facts;
    if (bytes.every((byte) => byte === ALL_ONES)) {
      this.#notes.warn(`${facts.bdf}: config space reads all ones, the bytes are left out`, line);
      return facts;
    }
    for (const difference of differences(facts, bytes)) {
      this.#notes.warn(`${facts.bdf}: ${difference}; the bytes are taken`, line);
    }
    return withConfig(facts, bytes);
  }
}

/** How much a listing tells of a function. */
function rank(fn: RawFunction): number {
  const numbered = fn.bars.some((bar) => bar.index !== null);
  return (fn.acs === 'unknown' ? 0 : 4) + (fn.pcieType === 'unknown' ? 0 : 2) + (numbered ? 1 : 0);
}
