import { defineImporter, type Importer } from '@dmabuf-emu/core';
import type { StepTally } from '../session/step-result.ts';
import { nap } from './breach.ts';
import { LateOdpSession } from './late-odp-session.ts';
import { rogueName } from './rogue-kind.ts';
import { mappedMr, type RogueParts } from './rogue-odp-session.ts';
import { zapOnly } from './unmaps-late.ts';

export const neverUnmapsImporter: Importer = defineImporter({
  name: rogueName('never-unmaps'),
  allowPeer2Peer: true,
  invalidateMappings(attachment) {
    const mr = mappedMr(attachment);
    if (mr !== undefined) zapOnly(mr);
  },
});

/** Keeps its mapping for good once it was told to give it up, a detach included: only its death helps. */
export class NeverUnmapsSession extends LateOdpSession {
  constructor(parts: RogueParts) {
    super(parts, neverUnmapsImporter);
  }

  protected breach(_tally: StepTally): void {
    nap(this.machine);
  }

  protected override close(): void {
    if (!this.breaching) super.close();
  }
}
