import { defineImporter, type Importer } from '@dmabuf-emu/core';
import { type Machine, orUndo } from '@dmabuf-emu/shm';
import { HwGate } from '../hw/hw-gate.ts';
import { unlessLost } from '../internal/unless-lost.ts';
import type { DmaWindow } from '../payload/dma-window.ts';
import { checkRegistration, type RegistrationInfo } from '../rdma-umem/registration.ts';
import { Umem, umemGet, type UmemInfo } from '../rdma-umem/umem.ts';
import { OdpMrStruct as M } from './odp-mr-struct.ts';

/**
 * The translations of a memory region are taken away and its mapping is ended, before the callback returns; the next access
 * faults and maps again. @kernel mlx5_ib_dmabuf_invalidate_cb
 */
export const odpImporter: Importer = defineImporter({
  name: 'odp',
  allowPeer2Peer: true,
  invalidateMappings(attachment) {
    const umem = Umem.ofAttachment(attachment);
    if (umem === undefined || !umem.mapped) return;
    OdpMr.ofUmem(umem)?.invalidate();
  },
});

/** What the hardware got of a page fault. */
export interface FaultResult {
  /** Number of the translations, for {@link HwGate.burst}. */
  readonly translations: number;
  readonly window: DmaWindow;
  /** Pages of the whole region: it is always mapped at once. */
  readonly pages: number;
  /** {@link OdpMr.invalidations} at that moment. */
  readonly invalidations: number;
}

/** A window of a buffer and what an application may do with it. */
export type OdpMrInfo = UmemInfo & RegistrationInfo;

/** A new region and its first page fault. */
export interface RegisteredMr {
  readonly mr: OdpMr;
  readonly fault: FaultResult;
}

/** A dynamic memory region over a buffer. @kernel mlx5_ib_mr */
export class OdpMr {
  readonly machine: Machine;
  readonly ref: number;
  readonly umem: Umem;
  readonly hw: HwGate;

  private constructor(umem: Umem, ref: number, hw: HwGate) {
    this.machine = umem.machine;
    this.ref = ref;
    this.umem = umem;
    this.hw = hw;
  }

  /** The region that a umem belongs to; undefined while it is not published. */
  static ofUmem(umem: Umem): OdpMr | undefined {
    const { machine } = umem;
    const p = machine.slab(M).tryAt(umem.priv);
    if (p === 0) return undefined;
    const hw = HwGate.tryOf(machine, M.hw.get(machine.mem, p));
    return hw === undefined ? undefined : new OdpMr(umem, umem.priv, hw);
  }

  /**
   * Registers a region and takes the first page fault for it, so that a buffer that cannot be mapped is refused now.
   * @param importer - operations to attach with; {@link odpImporter} unless the caller brings its own
   * @kernel mlx5_ib_reg_user_mr_dmabuf
   * @throws KernelError EINVAL, ENOMEM; the exporter's errno. Nothing is left then.
   */
  static reg(machine: Machine, name: string, info: OdpMrInfo, importer: Importer = odpImporter): RegisteredMr {
    checkRegistration(info);
    const umem = umemGet(machine, info, importer);
    const mr = orUndo(
      () => {
        const hw = HwGate.alloc(machine, name, umem.dmabuf.ref);
        return orUndo(
          () => publish(umem, hw),
          () => hw.free(),
        );
      },
      () => umem.release(),
    );
    return orUndo(
      () => ({ mr, fault: mr.pageFault() }),
      () => mr.dereg(),
    );

    function publish(of: Umem, hw: HwGate): OdpMr {
      const slab = machine.slab(M);
      const ref = slab.alloc('odp_mr');
      const p = slab.at(ref);
      M.task.set(machine.mem, p, machine.tid);
      M.umem.set(machine.mem, p, of.ref);
      M.hw.set(machine.mem, p, hw.ref);
      of.priv = ref;
      return new OdpMr(of, ref, hw);
    }
  }

  /** Faults served so far. */
  get faults(): number {
    return M.faults.load(this.machine.mem, this.#p);
  }

  /** Callbacks that found a mapping. */
  get invalidations(): number {
    return M.invalidations.load(this.machine.mem, this.#p);
  }

  /**
   * The hardware missed a translation: maps the whole region and writes its translations.
   * @kernel pagefault_dmabuf_mr
   * @throws KernelError ENODEV while the exporter has revoked the buffer; whatever else map throws.
   */
  pageFault(): FaultResult {
    const { umem, hw } = this;
    return umem.resv.with(() => {
      umem.mapPages();
      const window = umem.window();
      M.faults.add(this.machine.mem, this.#p, 1);
      return { translations: hw.program(), window, pages: window.pages, invalidations: this.invalidations };
    });
  }

  /** The callback's work. @locks resv held */
  invalidate(): void {
    this.noteInvalidation();
    this.takeAway();
  }

  /** A callback found a mapping. */
  noteInvalidation(): void {
    M.invalidations.add(this.machine.mem, this.#p, 1);
  }

  /** Stops the hardware and unmaps; a no-op when nothing is mapped. @locks resv held */
  takeAway(): void {
    this.hw.zap();
    this.umem.unmapPages();
  }

  /** Takes the region away from the hardware, then gives everything back. @kernel mlx5_ib_dereg_mr */
  dereg(): void {
    const { machine, umem, hw } = this;
    unlessLost(() => umem.resv.with(() => this.takeAway()));
    umem.release();
    machine.slab(M).free(this.ref, 'odp_mr');
    hw.free();
  }

  get #p(): number {
    return this.machine.slab(M).at(this.ref);
  }
}
