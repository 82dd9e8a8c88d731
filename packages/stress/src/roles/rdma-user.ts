import { type MmapEntry, RdmaDevice } from '@dmabuf-emu/exporter-rdma';
import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { isKernelError } from '@dmabuf-emu/shm';
import type { BufferPlan } from '../plan/run-plan.ts';
import type { FaultRates } from '../scenario/scenario.ts';
import type { Controller, ExporterUser } from './controller.ts';
import type { ExportedPlace, HeldBuffer } from './held-buffer.ts';
import type { Happening } from './timeline.ts';

/** What makes the RDMA core take buffers back, each time for good. */
export type RdmaTrigger = 'destroy' | 'remove';

/** Time that memory is watched after it was taken back. */
const WATCH_MS = 1;

/** A user of RDMA verbs: allocates device memory, exports it, destroys the object; and the driver that goes away under it. */
export class RdmaUser implements ExporterUser<RdmaTrigger> {
  readonly happenings: readonly Happening<RdmaTrigger>[];
  readonly #controller: Controller<RdmaTrigger>;
  readonly #entries = new Map<number, MmapEntry>();
  #device: RdmaDevice | undefined;

  constructor(controller: Controller<RdmaTrigger>, rates: FaultRates) {
    this.#controller = controller;
    this.happenings = [
      { what: 'destroy', rate: rates.destroy },
      { what: 'remove', rate: rates.remove },
    ];
  }

  open(): void {
    const { context, plan } = this.#controller;
    this.#device = RdmaDevice.open(context.machine, plan.bdf!);
  }

  exportBuffer({ index, pages }: BufferPlan): ExportedPlace {
    let entry = this.#entries.get(index);
    if (entry === undefined) {
      entry = this.#open.allocDm(pages * PAGE_SIZE);
      this.#entries.set(index, entry);
    }
    return { dmabuf: this.#open.exportDmaBuf(entry.pgoff), ranges: [{ paddr: entry.paddr, bytes: entry.length }] };
  }

  /** The entry stays with the lost buffer; the next export allocates another. */
  moveAway({ index }: BufferPlan): boolean {
    this.#entries.delete(index);
    return true;
  }

  fire(what: RdmaTrigger): void {
    const controller = this.#controller;
    const { buffers } = controller;
    switch (what) {
      case 'destroy': {
        const held = controller.context.random.pick([...buffers.values()]);
        controller.revoke('destroy', () => void this.#open.destroyObject(held.dmabuf));
        this.#gone([held], 'object destroyed');
        return;
      }
      case 'remove': {
        const offsets = [...this.#entries.values()].map((entry) => entry.pgoff);
        controller.revoke('remove', () => this.#open.removeDriver());
        for (const pgoff of offsets) this.#mustFail(pgoff);
        this.#entries.clear();
        this.#gone([...buffers.values()], 'driver removed');
      }
    }
  }

  close(): void {
    this.#open.close();
    this.#entries.clear();
    this.#device = undefined;
  }

  /** These buffers were taken back for good: checks them, then exports others in their place. */
  #gone(buffers: readonly HeldBuffer[], step: string): void {
    const { context } = this.#controller;
    this.#controller.each(buffers, (held) => held.checkRevoked(step));
    context.board.waitUntil(() => context.board.stopping, WATCH_MS);
    this.#controller.each(buffers, (held) => held.checkUntouched(step));
    for (const { plan } of buffers) this.#controller.dropOne(plan.index);
    if (!this.#open.isOpen) context.patiently(() => this.open());
    this.#controller.exportAll();
  }

  /** Exporting memory whose driver is gone must fail. */
  #mustFail(pgoff: number): void {
    try {
      this.#open.exportDmaBuf(pgoff).put();
    } catch (error) {
      if (isKernelError(error)) return;
      throw error;
    }
    const { machine } = this.#controller.context;
    const text = 'memory of a driver that was removed could be exported again';
    machine.diag.violation({ rule: 'export-after-removal', text, buffer: `offset ${pgoff}`, step: 'driver removed' });
  }

  get #open(): RdmaDevice {
    return this.#device!;
  }
}
