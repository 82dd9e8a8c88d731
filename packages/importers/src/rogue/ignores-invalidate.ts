import { defineImporter } from '@dmabuf-emu/core';
import type { StepTally } from '../session/step-result.ts';
import { nap } from './breach.ts';
import { LateOdpSession } from './late-odp-session.ts';
import { rogueName } from './rogue-kind.ts';
import { breachingCallback, type RogueParts } from './rogue-odp-session.ts';

export const ignoresInvalidateImporter = defineImporter({
  name: rogueName('ignores-invalidate'),
  allowPeer2Peer: true,
  invalidateMappings: breachingCallback((mr) => mr.noteInvalidation()),
});

/** Goes on with its DMA as if nothing had been said; lets go when the bound is long past. */
export class IgnoresInvalidateSession extends LateOdpSession {
  constructor(parts: RogueParts) {
    super(parts, ignoresInvalidateImporter);
  }

  protected breach(tally: StepTally): void {
    if (this.lateness.passed()) return this.letGo();
    const { translations, window } = this.current;
    this.hw.burst(translations, () => this.traffic.writeOne(window, tally));
    nap(this.machine);
  }
}
