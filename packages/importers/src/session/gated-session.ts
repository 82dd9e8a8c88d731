import type { DmaBuf } from '@dmabuf-emu/core';
import type { HwGate } from '../hw/hw-gate.ts';
import type { DmaWindow } from '../payload/dma-window.ts';
import type { Traffic } from '../payload/traffic.ts';
import { DmaSession } from './dma-session.ts';
import type { StepTally } from './step-result.ts';

/** Translations that an engine works with, and their number. */
export interface Translations {
  readonly translations: number;
  readonly window: DmaWindow;
}

/** A session whose DMA runs in bursts through a {@link HwGate}, outside of all other locks. */
export abstract class GatedSession extends DmaSession {
  protected readonly hw: HwGate;
  protected readonly traffic: Traffic;
  #current: Translations;

  constructor(dmabuf: DmaBuf, hw: HwGate, traffic: Traffic, current: Translations) {
    super(dmabuf);
    this.hw = hw;
    this.traffic = traffic;
    this.#current = current;
  }

  get mapped(): boolean {
    return !this.dead && this.hw.valid !== 0;
  }

  /** The newest translations that the engine has seen, taken away or not. */
  protected get current(): Translations {
    return this.#current;
  }

  /** Gets new translations after a miss. */
  protected abstract miss(): Translations;

  protected work(tally: StepTally): void {
    if (this.hw.valid !== this.#current.translations) this.refill(tally);
    this.move(tally);
  }

  protected refill(tally: StepTally): void {
    const { clock } = this.machine;
    const start = clock.nowNs();
    this.#current = this.miss();
    this.traffic.restart();
    tally.noteMap(clock.nowNs() - start);
  }

  /** The step's DMA: ends early when the translations are taken away meanwhile. */
  protected move(tally: StepTally): void {
    const { translations, window } = this.#current;
    for (const burst of this.traffic.plan(window)) {
      if (!this.hw.burst(translations, () => this.traffic.run(window, burst, tally))) return;
    }
  }
}
