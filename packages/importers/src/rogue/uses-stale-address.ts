import { defineImporter, type Importer } from '@dmabuf-emu/core';
import type { Translations } from '../session/gated-session.ts';
import { StepTally } from '../session/step-result.ts';
import { rogueName } from './rogue-kind.ts';
import { mappedMr, RogueOdpSession, type RogueParts } from './rogue-odp-session.ts';

export const usesStaleAddressImporter: Importer = defineImporter({
  name: rogueName('uses-stale-address'),
  allowPeer2Peer: true,
  invalidateMappings: (attachment) => mappedMr(attachment)?.invalidate(),
});

/** Does everything right in the callback, but its engine has kept a copy of the address and writes there once more. */
export class UsesStaleAddressSession extends RogueOdpSession {
  /** Callbacks after which the old address was used. */
  #used = 0;

  constructor(parts: RogueParts) {
    super(parts, usesStaleAddressImporter);
  }

  protected override miss(): Translations {
    const { invalidations, umem } = this.mr;
    if (invalidations !== this.#used) {
      this.#used = invalidations;
      umem.resv.with(() => {});
      this.traffic.writeOne(this.current.window, new StepTally());
    }
    return super.miss();
  }
}
