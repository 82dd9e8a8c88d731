import { orUndo } from '@dmabuf-emu/shm';
import { defineImporter, type FenceDriver, type Importer } from '@dmabuf-emu/core';
import { GpuBo } from '../gpu/gpu-bo.ts';
import { defineGpuFence } from '../gpu/gpu-fence.ts';
import type { GpuJob } from '../gpu/gpu-job.ts';
import type { DmaWindow } from '../payload/dma-window.ts';
import type { StepTally } from '../session/step-result.ts';
import { RogueGpuSession } from './rogue-gpu-session.ts';
import { rogueName } from './rogue-kind.ts';
import type { RogueParts } from './rogue-odp-session.ts';

export const writesAfterFenceFence: FenceDriver = defineGpuFence(rogueName('writes-after-fence'));

export const writesAfterFenceImporter: Importer = defineImporter({
  name: rogueName('writes-after-fence'),
  allowPeer2Peer: true,
  invalidateMappings: (attachment) => GpuBo.ofAttachment(attachment)?.markStale(),
});

/** When its mapping is stale, it writes once more after its last fence, while the revoker waits for nothing but the unmap. */
export class WritesAfterFenceSession extends RogueGpuSession {
  #window: DmaWindow | undefined;

  constructor(parts: RogueParts) {
    super(parts, writesAfterFenceImporter, writesAfterFenceFence);
  }

  /** The reservation is held: the revoker has seen all fences. */
  protected override submit(write: boolean, tally: StepTally): GpuJob {
    const job = this.bo.submit(this.rings, write, () => this.#writeLate(tally));
    this.#window = job.window;
    return this.note(job, tally);
  }

  protected override finish(job: GpuJob, tally: StepTally): void {
    job.signal();
    orUndo(
      () => {
        if (this.bo.stale) this.dmabuf.resv.with(() => this.#writeLate(tally));
      },
      () => job.retire(),
    );
    job.retire();
  }

  #writeLate(tally: StepTally): void {
    if (this.#window !== undefined) this.traffic.writeOne(this.#window, tally);
  }
}
