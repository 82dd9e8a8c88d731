import type { Attachment, DmaBuf } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import { failureOf } from './outcome.ts';
import type { Session } from './session.ts';
import { type StepResult, StepTally } from './step-result.ts';

/** What all sessions have in common: a step never throws an errno, a detach runs once. */
export abstract class DmaSession implements Session {
  readonly machine: Machine;
  readonly dmabuf: DmaBuf;
  #detached = false;

  constructor(dmabuf: DmaBuf) {
    this.machine = dmabuf.machine;
    this.dmabuf = dmabuf;
  }

  abstract get attachment(): Attachment;
  abstract get mapped(): boolean;

  get dead(): boolean {
    return this.#detached;
  }

  step(): StepResult {
    this.machine.progress();
    const tally = new StepTally();
    if (this.dead) return tally.result('dead', 'EINVAL');
    try {
      this.work(tally);
      return tally.result('ok');
    } catch (error) {
      const { outcome, errno } = failureOf(error);
      return tally.result(outcome, errno);
    }
  }

  detach(): void {
    if (this.#detached) return;
    this.#detached = true;
    this.close();
  }

  /** One unit of work; throws the errno that ends it. */
  protected abstract work(tally: StepTally): void;

  /** Gives everything back. Locks that are lost are not waited for. */
  protected abstract close(): void;
}
