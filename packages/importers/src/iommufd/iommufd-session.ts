import { type Attachment, Device, type DmaBuf } from '@dmabuf-emu/core';
import { DmaFault } from '@dmabuf-emu/pci-iommu';
import { isKernelError, KernelError, type Machine, orUndo } from '@dmabuf-emu/shm';
import { HwGate } from '../hw/hw-gate.ts';
import { DmaWindow } from '../payload/dma-window.ts';
import type { Traffic } from '../payload/traffic.ts';
import { DmaSession } from '../session/dma-session.ts';
import type { SessionTools } from '../session/session-tools.ts';
import type { Slice } from '../session/session.ts';
import type { StepTally } from '../session/step-result.ts';
import { Ioas, type IoasArea } from './ioas.ts';
import { IoasMap } from './map-file-request.ts';

/** iommufd's own device, which buffers are attached to. @throws KernelError ENOMEM */
export function iommufdDevice(machine: Machine): Device {
  const known = Device.byName(machine, 'iommufd');
  if (known !== undefined) return known;
  try {
    return Device.register(machine, { name: 'iommufd', kind: 'platform' });
  } catch (error) {
    if (!isKernelError(error, 'EEXIST')) throw error;
    return Device.byName(machine, 'iommufd')!;
  }
}

/**
 * A user-space driver's use of a buffer: it maps the file into an I/O address space that a function's DMA goes through. Nobody
 * tells it of a revoke: its DMA faults, contained by the IOMMU, and it tries to map the file again.
 */
export class IommufdSession extends DmaSession {
  readonly ioas: Ioas;
  readonly #hw: HwGate;
  readonly #traffic: Traffic;
  #area: IoasArea;
  #window: DmaWindow;
  #faulted = false;

  private constructor(dmabuf: DmaBuf, ioas: Ioas, hw: HwGate, tools: SessionTools, slice: Slice) {
    super(dmabuf);
    this.ioas = ioas;
    this.#hw = hw;
    this.#traffic = tools.traffic(hw.uid, slice);
    [this.#area, this.#window] = newestArea(ioas);
  }

  /** Maps the whole buffer. @throws KernelError when it is refused */
  static attach(dmabuf: DmaBuf, device: Device, tools: SessionTools, slice: Slice): IommufdSession {
    const { machine, pci, fn } = tools;
    const { iommu } = fn;
    if (iommu.iova === null) {
      throw new KernelError(
        'EOPNOTSUPP',
        'iommufd',
        `${fn.bdf} has no DMA-API domain: it is attached to one of type ${iommu.type}`,
      );
    }
    const hw = HwGate.alloc(machine, tools.name, dmabuf.ref);
    return orUndo(
      () => {
        const ioas = Ioas.alloc({ pci, device, allocator: iommu, hw: hw.ref });
        return orUndo(
          () => {
            ioas.addDomain(iommu);
            mapWhole(ioas, dmabuf);
            return new IommufdSession(dmabuf, ioas, hw, tools, slice);
          },
          () => ioas.destroy(),
        );
      },
      () => hw.free(),
    );
  }

  get attachment(): Attachment {
    return this.#area.pages.attachment;
  }

  get mapped(): boolean {
    return !this.dead && !this.#area.pages.revoked;
  }

  protected work(tally: StepTally): void {
    if (this.#faulted) this.#mapAgain(tally);
    try {
      for (const burst of this.#traffic.plan(this.#window)) {
        this.#hw.access(() => this.#traffic.run(this.#window, burst, tally));
      }
    } catch (error) {
      if (error instanceof DmaFault) this.#faulted = true;
      throw error;
    }
  }

  protected close(): void {
    this.ioas.destroy();
    this.#hw.free();
  }

  /** Maps the file anew, then gives the old area up. @throws KernelError ENODEV while the exporter has revoked the buffer */
  #mapAgain(tally: StepTally): void {
    const { clock } = this.machine;
    const start = clock.nowNs();
    const old = this.#area;
    mapWhole(this.ioas, this.dmabuf);
    this.ioas.unmap(old.iova, old.length);
    [this.#area, this.#window] = newestArea(this.ioas);
    this.#faulted = false;
    this.#traffic.restart();
    tally.noteMap(clock.nowNs() - start);
  }
}

function mapWhole(ioas: Ioas, dmabuf: DmaBuf): void {
  ioas.mapFile({ flags: IoasMap.READABLE | IoasMap.WRITEABLE, file: dmabuf, start: 0, length: dmabuf.size });
}

/** The one area of a session, and its addresses. */
function newestArea(ioas: Ioas): [IoasArea, DmaWindow] {
  const [area] = ioas.areas();
  return [area!, new DmaWindow(0, [{ address: area!.iova, length: area!.length }])];
}
