import { type Attachment, defineExporter, DmaBuf, DmaDirection, type SgTable } from '@dmabuf-emu/core';
import type { P2pProvider } from '../p2pdma/index.ts';
import type { PciFunction } from '../system/pci-function.ts';
import type { PciSystem } from '../system/pci-system.ts';
import { freeSgt } from './free-sgt.ts';
import { type PhysVec, physVecToSgt } from './phys-vec-to-sgt.ts';

/** A buffer over ranges of a BAR, without revocation; its size is the sum of the ranges unless told otherwise. */
export interface TestBuffer {
  readonly dmabuf: DmaBuf;
  /** Attaches a function, maps, runs `fn`, unmaps, detaches. */
  mapped<T>(fn: PciFunction, use: (sgt: SgTable, attachment: Attachment) => T, direction?: DmaDirection): T;
  attach(fn: PciFunction): Attachment;
  map(attachment: Attachment, direction?: DmaDirection): SgTable;
  unmap(attachment: Attachment, sgt: SgTable, direction?: DmaDirection): void;
  release(attachment?: Attachment): void;
}

/** What each buffer of {@link exportRanges} consists of, by the word that it was exported with. */
const SOURCES: { provider: P2pProvider | null; ranges: readonly PhysVec[]; size: number }[] = [];

const EXPORTER = defineExporter({
  name: 'test-ranges',
  map: (attachment, direction) => {
    const { provider, ranges, size } = SOURCES[attachment.dmabuf.priv - 1]!;
    return physVecToSgt(attachment, provider, ranges, size, direction);
  },
  unmap: (attachment, sgt, direction) => freeSgt(attachment, sgt, direction),
  release: () => undefined,
});

/** Exports ranges of BAR `bar` of `owner`. */
export function exportRanges(
  system: PciSystem,
  owner: PciFunction,
  bar: number,
  ranges: readonly PhysVec[],
  size: number = ranges.reduce((sum, { len }) => sum + len, 0),
): TestBuffer {
  const { machine } = system;
  system.p2p.init(owner.topology);
  SOURCES.push({ provider: system.p2p.provider(owner.topology, bar), ranges, size });
  const dmabuf = DmaBuf.export(machine, { ops: EXPORTER, priv: SOURCES.length, size });
  const buffer: TestBuffer = {
    dmabuf,
    attach: (fn) => dmabuf.attach(fn.device),
    map: (attachment, direction = DmaDirection.BIDIRECTIONAL) => dmabuf.resv.with(() => attachment.map(direction)),
    unmap: (attachment, sgt, direction = DmaDirection.BIDIRECTIONAL) =>
      dmabuf.resv.with(() => attachment.unmap(sgt, direction)),
    mapped(fn, use, direction) {
      const attachment = buffer.attach(fn);
      try {
        const sgt = buffer.map(attachment, direction);
        const result = use(sgt, attachment);
        buffer.unmap(attachment, sgt, direction);
        return result;
      } finally {
        dmabuf.detach(attachment);
      }
    },
    release(attachment) {
      if (attachment !== undefined) dmabuf.detach(attachment);
      dmabuf.put();
    },
  };
  return buffer;
}
