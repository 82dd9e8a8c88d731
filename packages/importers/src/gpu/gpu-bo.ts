import {
  type Attachment,
  defineImporter,
  type Device,
  type DmaBuf,
  DmaDirection,
  type Importer,
  ResvUsage,
  SgTable,
  type SignalRight,
} from '@dmabuf-emu/core';
import { type Machine, orUndo, taskIsDead } from '@dmabuf-emu/shm';
import { HwGate } from '../hw/hw-gate.ts';
import { unlessLost } from '../internal/unless-lost.ts';
import { DmaWindow } from '../payload/dma-window.ts';
import { GpuBoStruct as B } from './gpu-bo-struct.ts';
import { GpuJob } from './gpu-job.ts';
import type { GpuRings } from './gpu-ring.ts';
import { JobOrder } from './job-order.ts';

/**
 * The mapping becomes stale. An idle GPU lets go of it at once, a busy one when its jobs have ended; revokers wait for their
 * fences meanwhile. @kernel xe_dma_buf_move_notify, amdgpu_dma_buf_move_notify
 */
export const gpuImporter: Importer = defineImporter({
  name: 'gpu',
  allowPeer2Peer: true,
  invalidateMappings: (attachment) => GpuBo.ofAttachment(attachment)?.invalidate(),
});

/** A job that is about to be published. */
interface Submission {
  readonly right: SignalRight;
  readonly order: JobOrder;
  readonly rings: GpuRings;
  readonly write: boolean;
  readonly beforeRemap: (() => void) | undefined;
}

/** A buffer imported by a GPU: mapped when a job is submitted, unmapped when it is stale and idle. */
export class GpuBo {
  readonly machine: Machine;
  readonly ref: number;
  readonly attachment: Attachment;
  readonly #p: number;
  #window: DmaWindow | undefined;

  private constructor(attachment: Attachment, ref: number) {
    this.machine = attachment.machine;
    this.ref = ref;
    this.attachment = attachment;
    this.#p = this.machine.slab(B).at(ref);
  }

  /** The object of an attachment; undefined once it is gone, or its task is dead: then the core ends its mappings. */
  static ofAttachment(attachment: Attachment): GpuBo | undefined {
    const { machine, importerPriv: ref } = attachment;
    const p = machine.slab(B).tryAt(ref);
    return p === 0 || taskIsDead(machine, B.task.get(machine.mem, p)) ? undefined : new GpuBo(attachment, ref);
  }

  /**
   * Attaches a GPU to a buffer; nothing is mapped yet. Takes a reference on the buffer.
   * @param importer - operations to attach with
   * @throws KernelError ENOMEM; the exporter's errno. Nothing is left then.
   */
  static import(dmabuf: DmaBuf, device: Device, name: string, importer: Importer = gpuImporter): GpuBo {
    const { machine } = dmabuf;
    const { mem } = machine;
    const hw = HwGate.alloc(machine, name, dmabuf.ref);
    return orUndo(
      () => {
        const slab = machine.slab(B);
        const ref = slab.alloc('gpu_bo');
        const p = slab.at(ref);
        B.task.set(mem, p, machine.tid);
        B.hw.set(mem, p, hw.ref);
        dmabuf.get();
        mem.i32[p + B.dmabuf.at] = dmabuf.ref;
        return orUndo(
          () => {
            const attachment = dmabuf.attachDynamic(device, importer, ref);
            B.attachment.set(mem, p, attachment.ref);
            return new GpuBo(attachment, ref);
          },
          () => {
            slab.free(ref, 'gpu_bo');
            dmabuf.put();
          },
        );
      },
      () => hw.free(),
    );
  }

  get dmabuf(): DmaBuf {
    return this.attachment.dmabuf;
  }

  /** Number of the session, in patterns. */
  get uid(): number {
    return this.hw.uid;
  }

  get hw(): HwGate {
    return HwGate.of(this.machine, B.hw.get(this.machine.mem, this.#p));
  }

  get mapped(): boolean {
    return B.sgt.load(this.machine.mem, this.#p) !== 0;
  }

  /** Whether jobs to come must map anew. */
  get stale(): boolean {
    return B.stale.load(this.machine.mem, this.#p) !== 0;
  }

  /** Jobs submitted and not ended. */
  get inFlight(): number {
    return B.inFlight.load(this.machine.mem, this.#p);
  }

  /** Mappings that callbacks ended at once, and that had to wait for jobs. */
  get unmaps(): { now: number; deferred: number } {
    const { mem } = this.machine;
    return { now: B.unmapsNow.load(mem, this.#p), deferred: B.unmapsDeferred.load(mem, this.#p) };
  }

  /**
   * Puts a job on the ring: maps if need be, orders it behind what its kind of access must wait for, and publishes its fence.
   * Everything that can fail for want of memory happens before the fence is visible.
   * @param beforeRemap - runs, with resv held, while a stale mapping is still there
   * @throws KernelError ENODEV while the exporter has revoked the buffer; ENOMEM; whatever else map throws
   */
  submit(rings: GpuRings, write: boolean, beforeRemap?: () => void): GpuJob {
    const right = rings.jobs.next();
    return orUndo(
      () => {
        const order = JobOrder.alloc(this.machine);
        return orUndo(
          () => this.dmabuf.resv.with(() => this.#submit({ right, order, rings, write, beforeRemap })),
          () => order.free(),
        );
      },
      () => right.drop(),
    );
  }

  /** The callback's work. @locks resv held */
  invalidate(): void {
    const { mem } = this.machine;
    if (!this.mapped) return;
    this.markStale();
    if (this.inFlight === 0 && this.unmap()) B.unmapsNow.add(mem, this.#p, 1);
  }

  /** Only the first half of {@link invalidate}. @locks resv held */
  markStale(): void {
    if (this.mapped) B.stale.store(this.machine.mem, this.#p, 1);
  }

  /** A job has ended, its fence is signalled. The last one of a stale mapping ends the mapping. */
  jobEnded(): void {
    const { mem } = this.machine;
    if (B.inFlight.sub(mem, this.#p, 1) !== 1 || !this.stale) return;
    this.dmabuf.resv.with(() => {
      if (this.stale && this.inFlight === 0 && this.unmap()) B.unmapsDeferred.add(mem, this.#p, 1);
    });
  }

  /** Ends the mapping if there is one; tells whether there was. @locks resv held */
  unmap(): boolean {
    const { mem } = this.machine;
    this.dmabuf.resv.assertHeld('gpu_bo_unmap');
    const sgt = B.sgt.load(mem, this.#p);
    if (sgt === 0) return false;
    this.hw.zap();
    B.sgt.store(mem, this.#p, 0);
    this.attachment.unmap(SgTable.of(this.machine, sgt), DmaDirection.BIDIRECTIONAL);
    return true;
  }

  /** Unmaps, detaches and frees it, and drops the reference on the buffer. Its jobs must have ended. */
  close(): void {
    const { dmabuf, hw, machine } = this;
    unlessLost(() => {
      dmabuf.resv.with(() => this.unmap());
      dmabuf.detach(this.attachment);
    });
    machine.slab(B).free(this.ref, 'gpu_bo');
    hw.free();
    dmabuf.put();
  }

  #submit({ right, order, rings, write, beforeRemap }: Submission): GpuJob {
    const { mem } = this.machine;
    const { resv } = this.dmabuf;
    if (this.mapped && this.stale) beforeRemap?.();
    const mapNs = this.mapped && !this.stale ? undefined : this.#remap();
    resv.wait(ResvUsage.KERNEL);
    order.collect(resv, write);
    const bind = mapNs === undefined ? undefined : rings.binds.next();
    orUndo(
      () => resv.reserveFences(2),
      () => bind?.drop(),
    );
    if (bind !== undefined) resv.addFence(bind.fence, ResvUsage.BOOKKEEP);
    resv.addFence(right.fence, write ? ResvUsage.WRITE : ResvUsage.READ);
    B.inFlight.add(mem, this.#p, 1);
    return new GpuJob(this, { right, bind, order, window: this.#window!, mapNs });
  }

  /** A new mapping in place of the old one; returns how long it took. */
  #remap(): number {
    const { clock, mem } = this.machine;
    const start = clock.nowNs();
    this.unmap();
    const table = this.attachment.map(DmaDirection.BIDIRECTIONAL);
    B.sgt.store(mem, this.#p, table.ref);
    B.stale.store(mem, this.#p, 0);
    this.#window = new DmaWindow(0, table.entries());
    this.hw.program();
    return clock.nowNs() - start;
  }
}
