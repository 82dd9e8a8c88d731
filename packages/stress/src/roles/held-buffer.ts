import type { DmaBuf } from '@dmabuf-emu/core';
import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { isKernelError } from '@dmabuf-emu/shm';
import type { BufferSlot } from '../board/buffer-slot.ts';
import type { BufferPlan } from '../plan/run-plan.ts';
import type { RoleContext } from './role-context.ts';
import { Witness } from './witness.ts';

/** A part of a buffer in physical memory. */
export interface PhysicalRange {
  readonly paddr: number;
  readonly bytes: number;
}

/** A new dma-buf, with its one reference, and where it is. */
export interface ExportedPlace {
  readonly dmabuf: DmaBuf;
  readonly ranges: readonly PhysicalRange[];
}

/**
 * A buffer as its exporter's user holds it: the dma-buf with a reference, its place on the board, a witness that is attached to
 * it, and the checks of what must hold while it is revoked. They look at the core's tables and at the memory itself, not at
 * what the exporter says of itself.
 */
export class HeldBuffer {
  readonly plan: BufferPlan;
  readonly dmabuf: DmaBuf;
  readonly slot: BufferSlot;
  readonly #context: RoleContext;
  readonly #ranges: readonly PhysicalRange[];
  #witness: Witness | undefined;
  #poison: number | undefined;

  constructor(context: RoleContext, plan: BufferPlan, dmabuf: DmaBuf, ranges: readonly PhysicalRange[]) {
    this.plan = plan;
    this.dmabuf = dmabuf;
    this.slot = context.board.buffer(plan.index);
    this.#context = context;
    this.#ranges = ranges;
  }

  /** Offers it to the importers. */
  publish(): void {
    this.dmabuf.setName(this.plan.name.slice(0, 31));
    this.#context.board.nameBuffer(this.dmabuf.ino, this.plan.index);
    this.slot.publish(this.dmabuf);
    this.#context.record.count('exports');
    this.#context.board.announce();
  }

  /** Attaches the witness, which only works while the buffer is not revoked. */
  watch(witness: string): void {
    const { pci } = this.#context;
    this.#witness = this.#context.patiently(() => Witness.attach(this.dmabuf, pci.function(witness).device));
  }

  /**
   * What must hold once a revoke has returned: nothing is mapped, nothing can be mapped. Then fills the buffer with a value
   * that {@link checkUntouched} will look for.
   */
  checkRevoked(step: string): void {
    const { record } = this.#context;
    record.count('checks');
    const live = this.#witness?.liveMaps() ?? 0;
    if (live > 0)
      this.#violation('live-maps-after-revoke', step, `${live} mappings are alive after the revoke returned`);
    const refusal = this.#witness === undefined ? 'ENODEV' : this.#witness.tryMap();
    if (refusal !== 'ENODEV') {
      const got = refusal === undefined ? 'it was mapped' : `the map failed with ${refusal}`;
      this.#violation('map-while-revoked', step, `mapping a revoked buffer must fail with ENODEV, but ${got}`);
    }
    this.#poison = 1 + this.#context.random.below(255);
    const { memory } = this.#context.pci;
    for (const { paddr, bytes } of this.#ranges) {
      this.#context.patiently(() => memory.cpuFill(paddr, this.#poison!, bytes));
    }
  }

  /** What must hold at the end of a revoke: nobody has written to the buffer. Must follow {@link checkRevoked}. */
  checkUntouched(step: string): void {
    const poison = this.#poison;
    if (poison === undefined) return;
    this.#poison = undefined;
    const { memory } = this.#context.pci;
    let offset = 0;
    for (const { paddr, bytes } of this.#ranges) {
      const found = memory.cpuRead(paddr, bytes);
      const at = found.findIndex((byte) => byte !== poison);
      if (at >= 0) {
        const page = Math.floor((offset + at) / PAGE_SIZE);
        const text = `byte ${offset + at} (page ${page}) changed from ${poison} to ${found[at]} while the buffer was revoked`;
        this.#violation('written-while-revoked', step, text);
        return;
      }
      offset += bytes;
    }
  }

  /** Takes it off the board and gives everything back that is held of it. The importers may still have it. */
  drop(): void {
    this.slot.withdraw();
    this.#context.board.announce();
    try {
      this.#witness?.detach();
    } catch (error) {
      if (!isKernelError(error, 'EOWNERDEAD')) throw error;
      this.#context.record.count('lost');
    }
    this.#witness = undefined;
    this.dmabuf.put();
  }

  #violation(rule: string, step: string, text: string): void {
    this.#context.machine.diag.violation({ rule, text, buffer: this.dmabuf.label, step });
  }
}
