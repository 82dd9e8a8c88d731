import { VfioDevice } from '@dmabuf-emu/exporter-vfio';
import { PAGE_SIZE, PowerState } from '@dmabuf-emu/pci-iommu';
import type { FaultRates } from '../scenario/scenario.ts';
import { GUARD_PAGES, type BufferPlan } from '../plan/run-plan.ts';
import type { Controller, ExporterUser } from './controller.ts';
import type { ExportedPlace } from './held-buffer.ts';
import type { Happening } from './timeline.ts';

/** What makes VFIO take buffers back. */
export type VfioTrigger = 'command' | 'd3' | 'flr' | 'reset' | 'close';

/** Share of closes that find memory disabled. */
const CLOSE_REVOKED = 0.3;
/** Longest time that buffers stay revoked. */
const AWAY_MS = 3;

/** A user of VFIO: a process that owns the GPU, such as a virtual machine monitor. */
export class VfioUser implements ExporterUser<VfioTrigger> {
  readonly #controller: Controller<VfioTrigger>;
  readonly #rates: FaultRates;
  /** Where buffers are whose first place was given up, and the first page of the region that was never used. */
  readonly #moved = new Map<number, number>();
  #end = 0;
  #device: VfioDevice | undefined;

  constructor(controller: Controller<VfioTrigger>, rates: FaultRates) {
    this.#controller = controller;
    this.#rates = rates;
    for (const { offset, pages } of controller.plan.buffers) this.#end = Math.max(this.#end, offset + span(pages));
  }

  /** What the open device has no register for never happens. */
  get happenings(): readonly Happening<VfioTrigger>[] {
    const { hasFlr, hasPowerStates, resetWorks } = this.#open;
    const { revoke, d3, flr, reset, close } = this.#rates;
    return [
      { what: 'command', rate: revoke },
      { what: 'd3', rate: hasPowerStates ? d3 : 0 },
      { what: 'flr', rate: hasFlr ? flr : 0 },
      { what: 'reset', rate: resetWorks ? reset : 0 },
      { what: 'close', rate: close },
    ];
  }

  open(): void {
    const { context, plan } = this.#controller;
    const device = VfioDevice.open(context.machine, plan.bdf!);
    device.config.command.memory = true;
    this.#device = device;
  }

  exportBuffer(plan: BufferPlan): ExportedPlace {
    const region = this.#controller.plan.region;
    const ranges = split({ ...plan, offset: this.#moved.get(plan.index) ?? plan.offset });
    const { start } = this.#bar();
    return {
      dmabuf: this.#open.exportDmaBuf({ region, ranges }),
      ranges: ranges.map(({ offset, length }) => ({ paddr: start + offset, bytes: length })),
    };
  }

  moveAway({ index, pages }: BufferPlan): boolean {
    if (this.#end + span(pages) > this.#bar().size) return false;
    this.#moved.set(index, this.#end);
    this.#end += span(pages);
    return true;
  }

  fire(what: VfioTrigger): void {
    const device = this.#open;
    const controller = this.#controller;
    switch (what) {
      case 'command':
        controller.revoke('command', () => (device.config.command.memory = false));
        this.#away('memory disabled');
        device.config.command.memory = true;
        return;
      case 'd3':
        controller.revoke('d3', () => device.setPowerState(PowerState.D3hot));
        this.#away('D3hot');
        device.setPowerState(PowerState.D0);
        return;
      case 'flr':
        controller.revoke('flr', () => device.flr());
        return;
      case 'reset':
        controller.revoke('reset', () => device.reset());
        return;
      case 'close':
        // A device may be closed while its buffers are revoked already.
        if (controller.context.random.chance(CLOSE_REVOKED)) device.config.command.memory = false;
        controller.revoke('close', () => device.close());
        this.#away('device closed');
        controller.dropAll();
        controller.context.patiently(() => this.open());
        controller.exportAll();
    }
  }

  close(): void {
    this.#open.close();
    this.#device = undefined;
  }

  /** The buffers are revoked now, and stay so for a while. */
  #away(step: string): void {
    const { context } = this.#controller;
    this.#controller.each(this.#controller.buffers.values(), (held) => held.checkRevoked(step));
    context.record.doing(`revoked: ${step}`);
    const awayMs = context.random.chance(0.5) ? 0 : context.random.next() * AWAY_MS;
    if (awayMs > 0.1) context.board.waitUntil(() => context.board.stopping, awayMs);
    this.#controller.each(this.#controller.buffers.values(), (held) => held.checkUntouched(step));
  }

  #bar(): { start: number; size: number } {
    const { context, plan } = this.#controller;
    return context.pci.function(plan.bdf!).bar(plan.region)!;
  }

  get #open(): VfioDevice {
    return this.#device!;
  }
}

/** Bytes of a region that a buffer takes, gaps included. */
function span(pages: number): number {
  return (pages + GUARD_PAGES) * PAGE_SIZE;
}

/** A buffer's ranges in its region: two of them leave a page out between. */
function split({ offset, pages, ranges }: BufferPlan): { offset: number; length: number }[] {
  if (ranges === 1) return [{ offset, length: pages * PAGE_SIZE }];
  const first = Math.floor(pages / 2);
  return [
    { offset, length: first * PAGE_SIZE },
    { offset: offset + (first + 1) * PAGE_SIZE, length: (pages - first) * PAGE_SIZE },
  ];
}
