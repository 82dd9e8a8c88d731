import { defineImporter, type FenceDriver, type Importer } from '@dmabuf-emu/core';
import { GpuBo } from '../gpu/gpu-bo.ts';
import { defineGpuFence } from '../gpu/gpu-fence.ts';
import type { GpuJob } from '../gpu/gpu-job.ts';
import type { StepTally } from '../session/step-result.ts';
import { nap } from './breach.ts';
import { RogueGpuSession } from './rogue-gpu-session.ts';
import { rogueName } from './rogue-kind.ts';
import type { RogueParts } from './rogue-odp-session.ts';

export const neverSignalsFence: FenceDriver = defineGpuFence(rogueName('never-signals'));

export const neverSignalsImporter: Importer = defineImporter({
  name: rogueName('never-signals'),
  allowPeer2Peer: true,
  invalidateMappings: (attachment) => GpuBo.ofAttachment(attachment)?.invalidate(),
});

/** Its first job never ends, and it does nothing more, a detach included: only its death helps. */
export class NeverSignalsSession extends RogueGpuSession {
  #hung: GpuJob | undefined;

  constructor(parts: RogueParts) {
    super(parts, neverSignalsImporter, neverSignalsFence);
  }

  protected override work(tally: StepTally): void {
    if (this.#hung === undefined) super.work(tally);
    else nap(this.machine);
  }

  protected override finish(job: GpuJob, _tally: StepTally): void {
    this.#hung = job;
  }

  protected override close(): void {
    if (this.#hung === undefined) super.close();
  }
}
