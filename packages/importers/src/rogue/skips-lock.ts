import { defineImporter, DmaDirection, type Importer } from '@dmabuf-emu/core';
import { isKernelError } from '@dmabuf-emu/shm';
import type { StepTally } from '../session/step-result.ts';
import { BREACHES_MAX } from './breach.ts';
import { rogueName } from './rogue-kind.ts';
import { mappedMr, RogueOdpSession, type RogueParts } from './rogue-odp-session.ts';

export const skipsLockImporter: Importer = defineImporter({
  name: rogueName('skips-lock'),
  allowPeer2Peer: true,
  invalidateMappings: (attachment) => mappedMr(attachment)?.invalidate(),
});

/** Unmaps without taking the reservation first. The core refuses, so the mapping goes in order later. */
export class SkipsLockSession extends RogueOdpSession {
  #breaches = 0;

  constructor(parts: RogueParts) {
    super(parts, skipsLockImporter);
  }

  protected override work(tally: StepTally): void {
    super.work(tally);
    if (this.#breaches < BREACHES_MAX) this.#unmapUnlocked();
  }

  #unmapUnlocked(): void {
    const { umem } = this.mr;
    const { table } = umem;
    if (table === undefined) return;
    this.#breaches++;
    try {
      umem.attachment.unmap(table, DmaDirection.BIDIRECTIONAL);
    } catch (error) {
      if (!isKernelError(error, 'EINVAL')) throw error;
    }
  }
}
