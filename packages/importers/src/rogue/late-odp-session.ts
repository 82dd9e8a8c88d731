import type { Importer } from '@dmabuf-emu/core';
import type { Translations } from '../session/gated-session.ts';
import type { StepTally } from '../session/step-result.ts';
import { Lateness } from './breach.ts';
import { RogueOdpSession, type RogueParts } from './rogue-odp-session.ts';

/** A NIC whose callback leaves the mapping in place: what its engine does then is up to the subclass. */
export abstract class LateOdpSession extends RogueOdpSession {
  protected readonly lateness: Lateness;
  /** Callbacks whose consequences are over. */
  #handled = 0;

  constructor(parts: RogueParts, importer: Importer) {
    super(parts, importer);
    this.lateness = new Lateness(this.machine, () => parts.dmabuf.state.revokeBoundMs);
  }

  /** Whether a callback was called and the mapping is still there. */
  protected get breaching(): boolean {
    return this.mr.umem.mapped && this.mr.invalidations !== this.#handled;
  }

  protected override work(tally: StepTally): void {
    if (this.breaching) this.breach(tally);
    else super.work(tally);
  }

  /** A step of the breach. */
  protected abstract breach(tally: StepTally): void;

  /** Lets go of the mapping at last. */
  protected letGo(): void {
    this.lateness.reset();
    this.mr.umem.resv.with(() => {
      this.mr.takeAway();
      this.#handled = this.mr.invalidations;
    });
  }

  protected override miss(): Translations {
    const fault = this.mr.pageFault();
    this.#handled = fault.invalidations;
    return fault;
  }
}
