import type { Attachment, Device, DmaBuf } from '@dmabuf-emu/core';
import type { StepResult } from './step-result.ts';

/** What importers there are. */
export const IMPORTER_KINDS = ['odp', 'revocable-pinned', 'pinned', 'iommufd', 'gpu', 'static', 'rogue'] as const;
export type ImporterKind = (typeof IMPORTER_KINDS)[number];

/** Which pages of a buffer a session owns: page `p` when `p % count === index`. */
export interface Slice {
  readonly index: number;
  readonly count: number;
}

/** A device driver that imports buffers, in the thread that runs its DMA engine. */
export interface Importer {
  readonly kind: ImporterKind;
  readonly name: string;
  /** What its attachments are attached to. */
  readonly device: Device;
  /**
   * Attaches to a buffer, taking a reference on it. Nothing is left when it throws.
   * @throws KernelError when the exporter refuses (EOPNOTSUPP), when the buffer is revoked (ENODEV), ENOMEM.
   */
  attach(dmabuf: DmaBuf, slice: Slice): Session;
}

/** An importer's use of one buffer. Belongs to the thread that attached. */
export interface Session {
  readonly dmabuf: DmaBuf;
  readonly attachment: Attachment;
  /** Whether its device can reach the buffer now. */
  readonly mapped: boolean;
  /** Revoked for good: only {@link detach} is left. */
  readonly dead: boolean;
  /**
   * One unit of work: maps if need be, writes patterns to its own pages by DMA, reads them back and checks them, reads
   * others'. Never throws an errno: the result says how it went.
   */
  step(): StepResult;
  /** Ends the use in order, whatever state it is in: unmap, unpin, detach, put. Calling it again does nothing. */
  detach(): void;
}
