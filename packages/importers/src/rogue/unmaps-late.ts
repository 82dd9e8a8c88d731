import { defineImporter, type Importer } from '@dmabuf-emu/core';
import type { OdpMr } from '../odp/odp-mr.ts';
import type { StepTally } from '../session/step-result.ts';
import { nap } from './breach.ts';
import { LateOdpSession } from './late-odp-session.ts';
import { rogueName } from './rogue-kind.ts';
import { breachingCallback, type RogueParts } from './rogue-odp-session.ts';

/** The hardware stops, the mapping stays. */
export function zapOnly(mr: OdpMr): void {
  mr.noteInvalidation();
  mr.hw.zap();
}

export const unmapsLateImporter: Importer = defineImporter({
  name: rogueName('unmaps-late'),
  allowPeer2Peer: true,
  invalidateMappings: breachingCallback(zapOnly),
});

/** Stops its DMA at once but keeps its mapping past the bound. */
export class UnmapsLateSession extends LateOdpSession {
  constructor(parts: RogueParts) {
    super(parts, unmapsLateImporter);
  }

  protected breach(_tally: StepTally): void {
    if (this.lateness.passed()) this.letGo();
    else nap(this.machine);
  }
}
