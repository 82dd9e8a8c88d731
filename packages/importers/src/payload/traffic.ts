import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import type { Machine, Random } from '@dmabuf-emu/shm';
import type { Slice } from '../session/session.ts';
import type { StepTally } from '../session/step-result.ts';
import type { DmaWindow } from './dma-window.ts';
import type { PagePort } from './page-port.ts';
import { Suspects } from './suspects.ts';

/** Pages that a step works on, and pages that it works on without looking up. */
export const STEP_PAGES = 32;
export const BURST_PAGES = 8;

/** Consecutive pages of the buffer. */
export interface Burst {
  readonly first: number;
  readonly count: number;
}

/** Whose pages, with what. */
export interface TrafficOptions {
  readonly machine: Machine;
  readonly port: PagePort;
  readonly random: Random;
  /** Owner of the patterns: number of the session. */
  readonly uid: number;
  readonly slice: Slice;
}

/**
 * What a session does with its buffer: page `p` is its own when `p % count === index`. It writes its own pages, each time
 * with a new epoch, and they must then read back exactly so; others' pages must hold some whole pattern.
 */
export class Traffic {
  readonly #port: PagePort;
  readonly #random: Random;
  readonly #uid: number;
  readonly #slice: Slice;
  readonly #suspects: Suspects;
  /** Epoch that each own page must have; pages that are not in it may hold anything. */
  readonly #expected = new Map<number, number>();
  #epoch = 0;

  constructor({ machine, port, random, uid, slice }: TrafficOptions) {
    this.#port = port;
    this.#random = random;
    this.#uid = uid;
    this.#slice = slice;
    this.#suspects = new Suspects(machine);
  }

  /** The buffer was away: its exporter may have changed every page. */
  restart(): void {
    this.#expected.clear();
    this.#suspects.clear();
  }

  /** The bursts of one step: some consecutive pages, chosen at random. */
  plan(window: DmaWindow): Burst[] {
    const count = Math.min(STEP_PAGES, window.pages);
    const first = window.firstPage + this.#random.below(window.pages - count + 1);
    const bursts: Burst[] = [];
    for (let done = 0; done < count; done += BURST_PAGES) {
      bursts.push({ first: first + done, count: Math.min(BURST_PAGES, count - done) });
    }
    this.#epoch++;
    return bursts;
  }

  /** Checks what own pages held, writes them anew, reads them back; looks at the others. */
  run(window: DmaWindow, burst: Burst, tally: StepTally): void {
    this.write(window, burst, tally);
    this.read(window, burst, tally);
  }

  /** Only the writing half of {@link run}. */
  write(window: DmaWindow, { first, count }: Burst, tally: StepTally): void {
    for (let page = first; page < first + count; page++) {
      if (!this.#owns(page)) continue;
      const address = window.address(page);
      this.#checkOwn(address, page, tally);
      this.#expected.delete(page);
      this.#port.write(address, page, { owner: this.#uid, epoch: this.#epoch });
      this.#expected.set(page, this.#epoch);
      tally.bytesWritten += PAGE_SIZE;
    }
  }

  /** Only the reading half of {@link run}. */
  read(window: DmaWindow, { first, count }: Burst, tally: StepTally): void {
    for (let page = first; page < first + count; page++) {
      const address = window.address(page);
      if (this.#owns(page)) {
        this.#checkOwn(address, page, tally);
        continue;
      }
      const mismatch = this.#suspects.judge(this.#port, address, page);
      tally.bytesRead += PAGE_SIZE;
      if (mismatch !== null) tally.mismatches.push(mismatch);
    }
  }

  /** Writes one page, an own one if there is any, without expecting anything of it. */
  writeOne(window: DmaWindow, tally: StepTally): void {
    const { index, count } = this.#slice;
    const own = window.firstPage + ((index - (window.firstPage % count) + count) % count);
    const page = own < window.firstPage + window.pages ? own : window.firstPage;
    this.#expected.delete(page);
    this.#port.write(window.address(page), page, { owner: this.#uid, epoch: ++this.#epoch });
    tally.bytesWritten += PAGE_SIZE;
  }

  #owns(page: number): boolean {
    return page % this.#slice.count === this.#slice.index;
  }

  /** An own page must hold what was written last; a page that does not is reported once. */
  #checkOwn(address: number, page: number, tally: StepTally): void {
    const epoch = this.#expected.get(page);
    if (epoch === undefined) return;
    const mismatch = this.#port.check(address, page, { owner: this.#uid, epoch });
    tally.bytesRead += PAGE_SIZE;
    if (mismatch === null) return;
    this.#expected.delete(page);
    tally.mismatches.push(mismatch);
  }
}
