import type { Machine } from '@dmabuf-emu/shm';

/** How often a rogue breaks its rule before it behaves; enough to be caught, few enough to let a run end. */
export const BREACHES_MAX = 2;
/** How far past the bound a rogue that is late goes. */
const LATENESS = 1.3;
const NAP_MS = 2;

/** Measures how long a rogue has been late. Belongs to the engine's thread. */
export class Lateness {
  readonly #machine: Machine;
  readonly #boundMs: () => number;
  #sinceMs: number | undefined;

  constructor(machine: Machine, boundMs: () => number) {
    this.#machine = machine;
    this.#boundMs = boundMs;
  }

  /** True once the bound has passed, with room to spare, since the first call after {@link reset}. */
  passed(): boolean {
    const now = this.#machine.clock.nowMs();
    this.#sinceMs ??= now;
    return now - this.#sinceMs >= this.#boundMs() * LATENESS;
  }

  reset(): void {
    this.#sinceMs = undefined;
  }
}

/** Gives the processor away for a moment; with a clock that is driven by hand, not at all. */
export function nap(machine: Machine): void {
  if (machine.clock.manual) return;
  const at = machine.root('importers.nap', 16);
  machine.wait(at, 0, 'rogue.nap', NAP_MS);
}
