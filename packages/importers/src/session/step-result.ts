import type { PatternMismatch } from '@dmabuf-emu/pci-iommu';
import type { ErrnoName } from '@dmabuf-emu/shm';

/**
 * How a step went:
 *
 * | outcome | errno | meaning |
 * |---|---|---|
 * | ok | - | data moved |
 * | revoked | ENODEV | the exporter has taken the buffer back for now |
 * | dead | EINVAL | the session was revoked for good |
 * | refused | any | map, pin or fence call failed otherwise |
 * | nomem | ENOMEM | an allocation failed; all is as before the step |
 * | faulted | ETIMEDOUT or none | a DMA access faulted, or a job waited too long |
 * | lost | EOWNERDEAD | a task died with the buffer's lock |
 */
export type StepOutcome = 'ok' | 'revoked' | 'refused' | 'nomem' | 'faulted' | 'dead' | 'lost';

/** What one step did. */
export interface StepResult {
  readonly outcome: StepOutcome;
  readonly errno?: ErrnoName;
  /** Whether the step made a mapping, and how long that took. */
  readonly mapped?: boolean;
  readonly mapNs?: number;
  /** From the signal of a fence that the step waited for to its own wake-up. */
  readonly fenceWakeNs?: number;
  readonly bytesWritten: number;
  readonly bytesRead: number;
  readonly mismatches: readonly PatternMismatch[];
}

/** A step's result in the making. */
export class StepTally {
  bytesWritten = 0;
  bytesRead = 0;
  readonly mismatches: PatternMismatch[] = [];
  #mapNs: number | undefined;
  #fenceWakeNs: number | undefined;

  /** A mapping was made in `ns` nanoseconds. */
  noteMap(ns: number): void {
    this.#mapNs = ns;
  }

  /** A fence was waited for; it woke the task `ns` nanoseconds after its signal. */
  noteFenceWake(ns: number): void {
    this.#fenceWakeNs = Math.max(0, ns);
  }

  result(outcome: StepOutcome, errno?: ErrnoName): StepResult {
    return {
      outcome,
      ...(errno === undefined ? {} : { errno }),
      ...(this.#mapNs === undefined ? {} : { mapped: true, mapNs: this.#mapNs }),
      ...(this.#fenceWakeNs === undefined ? {} : { fenceWakeNs: this.#fenceWakeNs }),
      bytesWritten: this.bytesWritten,
      bytesRead: this.bytesRead,
      mismatches: this.mismatches,
    };
  }
}
