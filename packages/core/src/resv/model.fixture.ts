import type { ResvUsage } from '@dmabuf-emu/core';

/** A fence as the model sees it. */
export interface ModelFence {
  readonly context: number;
  readonly seqno: number;
  signaled: boolean;
}

/** One slot of the model's list. */
export interface ModelEntry {
  fence: ModelFence;
  usage: ResvUsage;
}

/**
 * A reservation object of one thread, by the book: spec §2.3-§2.7. Capacities are those of a 64-bit kernel.
 */
export class ModelResv {
  entries: ModelEntry[] = [];
  max = 0;

  reserve(count: number): void {
    const num = this.entries.length;
    if (this.max !== 0 && num + count <= this.max) return;
    const wanted = this.max !== 0 ? Math.max(num + count, 2 * this.max) : Math.max(4, 2 ** Math.ceil(Math.log2(count)));
    this.entries = this.entries.filter((e) => !e.fence.signaled);
    this.max = bucketSlots(wanted);
  }

  /** False: no room, which is a BUG. */
  add(fence: ModelFence, usage: ResvUsage): boolean {
    for (const entry of this.entries) {
      const old = entry.fence;
      const sameOrLater = old === fence || fence.seqno > old.seqno;
      const superseded = old.context === fence.context && entry.usage >= usage && sameOrLater;
      if (!superseded && !old.signaled) continue;
      entry.fence = fence;
      entry.usage = usage;
      return true;
    }
    if (this.entries.length >= this.max) return false;
    this.entries.push({ fence, usage });
    return true;
  }

  replace(context: number, fence: ModelFence, usage: ResvUsage): void {
    for (const entry of this.entries) {
      if (entry.fence.context === context) Object.assign(entry, { fence, usage });
    }
  }

  /** Whether {@link add} finds a place. */
  hasRoom(fence: ModelFence, usage: ResvUsage): boolean {
    const trial = new ModelResv();
    trial.entries = this.entries.map((entry) => ({ ...entry }));
    trial.max = this.max;
    return trial.add(fence, usage);
  }

  copy(source: ModelResv): void {
    const pending = source.entries.filter((e) => !e.fence.signaled);
    this.max = pending.length === 0 ? 0 : bucketSlots(source.entries.length);
    this.entries = pending.map((entry) => ({ ...entry }));
  }

  unlock(): void {
    this.max = this.entries.length;
  }

  pending(usage: ResvUsage): ModelEntry[] {
    return this.entries.filter((e) => !e.fence.signaled && e.usage <= usage);
  }
}

/** Slots of 8 bytes behind a header of 24 that a request for `wanted` slots really gets. */
function bucketSlots(wanted: number): number {
  const bytes = 24 + 8 * wanted;
  const bucket = [32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192].find((b) => b >= bytes);
  return ((bucket ?? 2 ** Math.ceil(Math.log2(bytes))) - 24) / 8;
}
