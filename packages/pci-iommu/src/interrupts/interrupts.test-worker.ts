import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { PciSystem } from '@dmabuf-emu/pci-iommu';

/** What the engine does: how many interrupts of each of how many vectors. */
export interface EngineJob {
  readonly fn: string;
  readonly vectors: number;
  readonly rounds: number;
  /** Where it writes the number of the round before each interrupt. */
  readonly address: number;
}

await runTestWorker((machine, { fn, vectors, rounds, address }: EngineJob) => {
  const engine = PciSystem.of(machine).function(fn);
  for (let round = 1; round <= rounds; round++) {
    for (let vector = 0; vector < vectors; vector++) {
      engine.dma.write(address + vector, Uint8Array.of(round));
      engine.interrupts.trigger(vector);
    }
  }
  return rounds;
});
