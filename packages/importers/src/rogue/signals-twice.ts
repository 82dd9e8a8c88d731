import { defineImporter, type FenceDriver, type Importer } from '@dmabuf-emu/core';
import { GpuBo } from '../gpu/gpu-bo.ts';
import { defineGpuFence } from '../gpu/gpu-fence.ts';
import type { GpuJob } from '../gpu/gpu-job.ts';
import type { StepTally } from '../session/step-result.ts';
import { BREACHES_MAX } from './breach.ts';
import { RogueGpuSession } from './rogue-gpu-session.ts';
import { rogueName } from './rogue-kind.ts';
import type { RogueParts } from './rogue-odp-session.ts';

export const signalsTwiceFence: FenceDriver = defineGpuFence(rogueName('signals-twice'));

export const signalsTwiceImporter: Importer = defineImporter({
  name: rogueName('signals-twice'),
  allowPeer2Peer: true,
  invalidateMappings: (attachment) => GpuBo.ofAttachment(attachment)?.invalidate(),
});

/** Signals the fences of its first jobs again when they are signalled. */
export class SignalsTwiceSession extends RogueGpuSession {
  #breaches = 0;

  constructor(parts: RogueParts) {
    super(parts, signalsTwiceImporter, signalsTwiceFence);
  }

  protected override finish(job: GpuJob, tally: StepTally): void {
    job.fence.get();
    super.finish(job, tally);
    if (this.#breaches++ < BREACHES_MAX) job.right.signal();
    job.fence.put();
  }
}
