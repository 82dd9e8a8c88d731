import { defineExporter, DmaBuf, DmaDirection, registerDrivers } from '@dmabuf-emu/core';
import { type Machine, Random } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { IommuProt } from '../iommu/index.ts';
import { freeSgt, physVecToSgt } from '../mapping/index.ts';
import { PciSystem } from './pci-system.ts';

/** What one worker does. */
export interface TrafficJob {
  /** Functions whose engines it plays. */
  readonly engines: readonly string[];
  /** Function whose BAR 0 it exports pieces of, and the piece of the BAR that is this worker's alone. */
  readonly owner: string;
  readonly offset: number;
  readonly bytes: number;
  readonly rounds: number;
  readonly seed: number;
}

/** Exports, maps and unmaps pieces of a BAR and moves patterns between them and RAM, as many functions. */
function traffic(machine: Machine, job: TrafficJob): number {
  const pci = PciSystem.of(machine);
  const owner = pci.function(job.owner);
  const bar = owner.bar(0)!;
  const random = new Random(job.seed);
  const ranges: { paddr: number; len: number }[] = [];
  let size = 0;
  const exporter = defineExporter({
    name: `traffic-${job.seed}`,
    map: (attachment, direction) =>
      physVecToSgt(attachment, pci.p2p.provider(owner.topology, 0), ranges, size, direction),
    unmap: (attachment, sgt, direction) => freeSgt(attachment, sgt, direction),
    release: () => undefined,
  });
  registerDrivers(machine, [exporter]);
  let moved = 0;
  for (let round = 0; round < job.rounds; round++) {
    ranges.length = 0;
    const half = job.bytes / 2;
    for (const start of [0, half])
      ranges.push({
        paddr: bar.start + job.offset + start + random.below(16) * 4096,
        len: (1 + random.below(8)) * 4096,
      });
    size = ranges[0]!.len + ranges[1]!.len;
    const client = pci.function(random.pick(job.engines));
    const dmabuf = DmaBuf.export(machine, { ops: exporter, priv: 1, size });
    const attachment = dmabuf.attach(client.device);
    const sgt = attachment.mapUnlocked(DmaDirection.BIDIRECTIONAL);
    const ram = pci.memory.allocPages(size / 4096);
    const translated = client.iommu.isDma;
    const ramAddress = translated ? client.iommu.iovaAlloc(size, 2 ** 32 - 1) : ram;
    if (translated) client.iommu.map(ramAddress, ram, size, IommuProt.READ | IommuProt.WRITE);
    const stamp = { owner: job.seed, epoch: round, offset: 0 };
    client.dma.writePattern(ramAddress, size, stamp);
    let at = 0;
    for (const { address, length } of sgt.entries()) {
      moved += client.dma.copy(address, ramAddress + at, length);
      const mismatch = client.dma.checkPattern(address, length, { ...stamp, offset: at });
      if (mismatch !== null) throw new Error(`round ${round}: ${JSON.stringify(mismatch)}`);
      at += length;
    }
    if (translated) {
      client.iommu.unmap(ramAddress, size);
      client.iommu.iovaFree(ramAddress, size);
    }
    pci.memory.freePages(ram, size / 4096);
    attachment.unmapUnlocked(sgt, DmaDirection.BIDIRECTIONAL);
    dmabuf.detach(attachment);
    dmabuf.put();
  }
  return moved;
}

await runTestWorker(traffic);
