import type { Attachment, Device, DmaBuf } from '@dmabuf-emu/core';
import { isKernelError, type Random, TaskKilled } from '@dmabuf-emu/shm';
import type { DmaWindow } from '../payload/dma-window.ts';
import type { Traffic } from '../payload/traffic.ts';
import { DmaSession } from '../session/dma-session.ts';
import type { SessionTools } from '../session/session-tools.ts';
import type { Slice } from '../session/session.ts';
import type { StepTally } from '../session/step-result.ts';
import { GpuBo } from './gpu-bo.ts';
import type { GpuJob } from './gpu-job.ts';
import type { GpuRings } from './gpu-ring.ts';

/** Share of jobs that write; the others only read. */
const WRITE_SHARE = 0.75;

/** A GPU's use of a buffer: one job a step, under fences. */
export class GpuSession extends DmaSession {
  readonly bo: GpuBo;
  readonly rings: GpuRings;
  protected readonly traffic: Traffic;
  readonly #random: Random;
  #window: DmaWindow | undefined;

  protected constructor(bo: GpuBo, rings: GpuRings, tools: SessionTools, slice: Slice) {
    super(bo.dmabuf);
    this.bo = bo;
    this.rings = rings;
    this.traffic = tools.traffic(bo.uid, slice);
    this.#random = tools.random;
  }

  /** Imports the buffer. @throws KernelError when it is refused */
  static attach(dmabuf: DmaBuf, device: Device, tools: SessionTools, rings: GpuRings, slice: Slice): GpuSession {
    return new GpuSession(GpuBo.import(dmabuf, device, tools.name), rings, tools, slice);
  }

  get attachment(): Attachment {
    return this.bo.attachment;
  }

  get mapped(): boolean {
    return !this.dead && this.bo.mapped;
  }

  protected work(tally: StepTally): void {
    const write = this.#random.chance(WRITE_SHARE);
    const job = this.submit(write, tally);
    try {
      this.execute(job, write, tally);
    } catch (error) {
      if (!(error instanceof TaskKilled)) job.end(isKernelError(error) ? error.code : 'EIO');
      throw error;
    }
    this.finish(job, tally);
  }

  /** Puts a job on the ring. */
  protected submit(write: boolean, tally: StepTally): GpuJob {
    return this.note(this.bo.submit(this.rings, write), tally);
  }

  /** A new job may come with a new mapping. */
  protected note(job: GpuJob, tally: StepTally): GpuJob {
    if (job.mapNs !== undefined) tally.noteMap(job.mapNs);
    // The mapping may be newer than the last job also when this one did not make it: a submission may fail after it mapped.
    if (job.window !== this.#window) this.traffic.restart();
    this.#window = job.window;
    return job;
  }

  /** The hardware runs the job. */
  protected execute(job: GpuJob, write: boolean, tally: StepTally): void {
    job.waitTurn(tally);
    for (const burst of this.traffic.plan(job.window)) {
      if (write) this.traffic.run(job.window, burst, tally);
      else this.traffic.read(job.window, burst, tally);
    }
  }

  /** The hardware is done. */
  protected finish(job: GpuJob, _tally: StepTally): void {
    job.end();
  }

  protected close(): void {
    this.bo.close();
  }
}
