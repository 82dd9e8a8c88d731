import { readdirSync, readFileSync } from 'node:fs';

/** How far bounds grow at most, so that a hang on a busy host is still found. */
const STRETCH_MAX = 8;
const WINDOW_MS = 500;
/** A window in which all threads together ran for less than this tells nothing. */
const RAN_MIN_NS = 5e6;
/** How much of the last window's stretch stays: what began under load may end after it. */
const KEPT = 0.7;

interface Usage {
  readonly ran: number;
  readonly waited: number;
}

/** Measures how much longer this process's threads take than they would on processors of their own. */
export class HostLoad {
  readonly #read: () => ReadonlyMap<string, Usage>;
  #last: ReadonlyMap<string, Usage> = new Map();
  #lastMs = 0;
  #stretch = 1;

  /** @param read nanoseconds that each thread ran, and waited for a processor; tests give their own. */
  constructor(read: () => ReadonlyMap<string, Usage> = readThreads) {
    this.#read = read;
  }

  /** The factor by which to stretch bounds; 1 on a free host, and where the host does not tell (only Linux does). */
  look(nowMs: number): number {
    if (nowMs - this.#lastMs < WINDOW_MS) return this.#stretch;
    const usage = this.#read();
    let ran = 0;
    let waited = 0;
    for (const [thread, now] of usage) {
      const before = this.#last.get(thread);
      ran += now.ran - (before?.ran ?? 0);
      waited += now.waited - (before?.waited ?? 0);
    }
    const measured = ran < RAN_MIN_NS ? 1 : (ran + waited) / ran;
    this.#stretch = Math.min(STRETCH_MAX, Math.max(1, measured, this.#stretch * KEPT));
    this.#last = usage;
    this.#lastMs = nowMs;
    return this.#stretch;
  }
}

function readThreads(): ReadonlyMap<string, Usage> {
  const threads = new Map<string, Usage>();
  try {
    for (const thread of readdirSync('/proc/self/task')) {
      const [ran, waited] = readFileSync(`/proc/self/task/${thread}/schedstat`, 'utf8').split(' ').map(Number);
      threads.set(thread, { ran: ran!, waited: waited! });
    }
  } catch {
    // Not Linux, no scheduler statistics, or a thread that ended meanwhile: what was read is what there is.
  }
  return threads;
}
