import { DmaHeap } from '@dmabuf-emu/exporter-heap';
import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import type { BufferPlan } from '../plan/run-plan.ts';
import type { FaultRates } from '../scenario/scenario.ts';
import type { Controller, ExporterUser } from './controller.ts';
import type { ExportedPlace } from './held-buffer.ts';
import type { Happening } from './timeline.ts';

/** A buffer of system memory is never taken from its importers: its user can only give it up and allocate another. */
export type HeapTrigger = 'destroy';

/** A user of the system heap: allocates buffers, closes them, allocates others while importers still have the old ones. */
export class HeapUser implements ExporterUser<HeapTrigger> {
  readonly happenings: readonly Happening<HeapTrigger>[];
  readonly #controller: Controller<HeapTrigger>;

  constructor(controller: Controller<HeapTrigger>, rates: FaultRates) {
    this.#controller = controller;
    this.happenings = [{ what: 'destroy', rate: rates.destroy }];
  }

  open(): void {}

  exportBuffer({ pages }: BufferPlan): ExportedPlace {
    const heap = DmaHeap.find(this.#controller.context.machine, 'system')!;
    return { dmabuf: heap.allocBuffer(pages * PAGE_SIZE), ranges: [] };
  }

  moveAway(): boolean {
    return true;
  }

  fire(_what: HeapTrigger): void {
    const controller = this.#controller;
    const { plan } = controller.context.random.pick([...controller.buffers.values()]);
    controller.context.record.count('destroy');
    controller.dropOne(plan.index);
    controller.exportOne(plan);
  }

  close(): void {}
}
