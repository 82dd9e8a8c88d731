import { type DmaBuf, RevocableExport } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import { VfioCore } from '../device/vfio-core.ts';
import { VfioDmaBufStruct as D } from './dma-buf-struct.ts';
import { freeRanges, readRanges } from './range-array.ts';
import type { BarRange } from './ranges.ts';

/** A handle on the exporter's side of a buffer. @kernel vfio_pci_dma_buf */
export class ExportedBuffer {
  readonly machine: Machine;
  readonly ref: number;
  /** Word of the struct. */
  readonly p: number;
  readonly revocable: RevocableExport;

  constructor(machine: Machine, ref: number) {
    this.machine = machine;
    this.ref = ref;
    this.p = machine.slab(D).at(ref);
    this.revocable = new RevocableExport(machine, this.p, D);
  }

  static of(dmabuf: DmaBuf): ExportedBuffer {
    return new ExportedBuffer(dmabuf.machine, dmabuf.priv);
  }

  /** The device, undefined once it was closed. */
  get core(): VfioCore | undefined {
    const device = D.device.get(this.machine.mem, this.p);
    return device === 0 ? undefined : VfioCore.of(this.machine, device - 1);
  }

  get lost(): boolean {
    return D.lost.load(this.machine.mem, this.p) !== 0;
  }

  get bar(): number {
    return D.bar.get(this.machine.mem, this.p);
  }

  get size(): number {
    return D.size.get(this.machine.mem, this.p);
  }

  /** The parts of the BAR. */
  ranges(): BarRange[] {
    const { mem } = this.machine;
    return readRanges(this.machine, D.ranges.get(mem, this.p), D.nrRanges.get(mem, this.p));
  }

  free(): void {
    const { mem } = this.machine;
    const ranges = D.ranges.get(mem, this.p);
    if (ranges !== 0) freeRanges(this.machine, ranges, D.nrRanges.get(mem, this.p));
    this.machine.slab(D).free(this.ref, 'vfio_pci_dma_buf_release');
  }
}
