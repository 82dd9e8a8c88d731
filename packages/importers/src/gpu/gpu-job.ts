import type { Fence, SignalRight } from '@dmabuf-emu/core';
import { type ErrnoName, KernelError } from '@dmabuf-emu/shm';
import type { DmaWindow } from '../payload/dma-window.ts';
import type { StepTally } from '../session/step-result.ts';
import type { GpuBo } from './gpu-bo.ts';
import type { JobOrder } from './job-order.ts';

/** How long a job waits for the jobs before it, in milliseconds of the machine's clock. @kernel drm_gpu_scheduler.timeout */
export const JOB_TIMEOUT_MS = 2000;

/** What a job was submitted with. */
export interface JobParts {
  readonly right: SignalRight;
  /** Right to signal that the page tables are written; undefined when the mapping was there. */
  readonly bind: SignalRight | undefined;
  /** Work of others that it must follow. */
  readonly order: JobOrder;
  readonly window: DmaWindow;
  /** How long mapping took; undefined when the mapping was there. */
  readonly mapNs: number | undefined;
}

/** A job on a GPU's ring. Belongs to the engine's thread; must be ended by {@link end}, whatever happens. */
export class GpuJob {
  readonly bo: GpuBo;
  readonly right: SignalRight;
  readonly window: DmaWindow;
  readonly mapNs: number | undefined;
  #bind: SignalRight | undefined;
  #order: JobOrder | undefined;
  #ended = false;

  constructor(bo: GpuBo, { right, bind, order, window, mapNs }: JobParts) {
    this.bo = bo;
    this.right = right;
    this.window = window;
    this.mapNs = mapNs;
    this.#bind = bind;
    this.#order = order;
  }

  /** Ends when the job has. */
  get fence(): Fence {
    return this.right.fence;
  }

  /**
   * The page tables are written, then the jobs before this one are waited for.
   * @throws KernelError ETIMEDOUT when one of them takes too long
   */
  waitTurn(tally: StepTally): void {
    this.#signalBind();
    for (const fence of this.#order?.fences() ?? []) this.#waitFor(fence, tally);
  }

  /** The hardware is done: signals the fence, with an error if the job failed; a stale mapping goes when it was the last job. */
  end(error?: ErrnoName): void {
    if (this.#ended) return;
    this.signal(error);
    this.retire();
  }

  /** The first half of {@link end}. */
  signal(error?: ErrnoName): void {
    this.#signalBind();
    const order = this.#order;
    this.#order = undefined;
    order?.free();
    if (error !== undefined) this.right.setError(error);
    this.right.signal();
  }

  /** The second half of {@link end}. */
  retire(): void {
    this.#ended = true;
    this.bo.jobEnded();
  }

  #signalBind(): void {
    const bind = this.#bind;
    this.#bind = undefined;
    bind?.signal();
  }

  #waitFor(fence: Fence, tally: StepTally): void {
    if (fence.signaledFlag()) return;
    const { clock } = this.bo.machine;
    if (fence.wait({ timeoutMs: JOB_TIMEOUT_MS * clock.stretch }) === 0) {
      throw new KernelError('ETIMEDOUT', 'gpu_job', `fence ${fence.context}:${fence.seqno} is not signalled`);
    }
    tally.noteFenceWake(clock.nowNs() - fence.timestampNs());
  }
}
