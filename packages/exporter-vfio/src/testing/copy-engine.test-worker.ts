import { PciSystem } from '@dmabuf-emu/pci-iommu';
import { runTestWorker } from '@dmabuf-emu/shm/testing';

/** What the engine of a device does: one copy, then an interrupt. */
export interface CopyJob {
  readonly fn: string;
  readonly dst: number;
  readonly src: number;
  readonly bytes: number;
  /** Vector that tells of the end. */
  readonly vector: number;
}

await runTestWorker((machine, { fn, dst, src, bytes, vector }: CopyJob) => {
  const engine = PciSystem.of(machine).function(fn);
  engine.dma.copy(dst, src, bytes);
  return engine.interrupts.trigger(vector);
});
