import { defineImporter, type FenceDriver, type Importer } from '@dmabuf-emu/core';
import { GpuBo } from '../gpu/gpu-bo.ts';
import { defineGpuFence } from '../gpu/gpu-fence.ts';
import type { GpuJob } from '../gpu/gpu-job.ts';
import { orUndo } from '../internal/or-undo.ts';
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

/** When its mapping is stale, it writes once more after its last fence, while the revoker waits for the unmap only. */
export class WritesAfterFenceSession extends RogueGpuSession {
  #window: DmaWindow | undefined;

  constructor(parts: RogueParts) {
    super(parts, writesAfterFenceImporter, writesAfterFenceFence);
  }

  protected override work(tally: StepTally): void {
    if (this.bo.stale && this.bo.mapped && this.#window !== undefined) {
      this.#writeLate(this.#window, tally);
      this.dmabuf.resv.with(() => this.bo.unmap());
    } else super.work(tally);
  }

  protected override finish(job: GpuJob, tally: StepTally): void {
    this.#window = job.window;
    job.signal();
    orUndo(
      () => {
        if (this.bo.stale) this.#writeLate(job.window, tally);
      },
      () => job.retire(),
    );
    job.retire();
  }

  /** The reservation is free when the revoker has seen all fences. */
  #writeLate(window: DmaWindow, tally: StepTally): void {
    this.dmabuf.resv.with(() => {});
    this.traffic.writeOne(window, tally);
  }
}
