import { KernelError } from '@dmabuf-emu/shm';

/** What can go wrong with a device's access to memory. */
export const FAULT_KINDS = [
  'iommu-fault',
  'stale-iotlb-hit',
  'use-after-revoke',
  'write-after-fence',
  'aer-ur',
  'aer-cto',
  'acs-violation',
  'foreign-write',
] as const;

/**
 * - `iommu-fault`: not mapped, not allowed or blocked; no data moved.
 * - `stale-iotlb-hit`: a translation was used that the page table no longer has; data moved to the old place.
 * - `use-after-revoke`: a BAR was accessed by an address that nobody has mapped for this device any more; data moved.
 * - `write-after-fence`: a write through a mapping that was given up and whose fences had signalled; data moved.
 * - `aer-ur`: nobody answers at the address, or the target does not decode it; no data moved.
 * - `aer-cto`: the target is in reset or gone; no data moved.
 * - `acs-violation`: access control of a port on the way does not let the packet through; no data moved.
 * - `foreign-write`: a write to RAM that belongs to nobody; data moved.
 */
export type FaultKind = (typeof FAULT_KINDS)[number];

/** What is known of a fault when it happens. */
export interface FaultInfo {
  readonly kind: FaultKind;
  /** Index of the function that made the access. */
  readonly requester: number;
  /** Address as the device used it. */
  readonly address: number;
  readonly length: number;
  readonly write: boolean;
  /** Why, in a few static words. */
  readonly reason: string;
  /** Index of the function whose BAR was the target; -1 for none. */
  readonly target?: number;
  /** Number of that BAR; -1 for none. */
  readonly bar?: number;
  /** The mapping that is, or was last, behind the address. */
  readonly grant?: FaultGrant;
}

/** Whose mapping an address belongs or belonged to. Refs may be stale by now; names stay. */
export interface FaultGrant {
  readonly dmabuf: number;
  readonly attachment: number;
  /** Inode number of the dma-buf: its name for the life of the machine. */
  readonly ino: number;
  readonly exporter: string;
  readonly importer: string;
}

/** A fault as the log keeps it. */
export interface FaultRecord extends FaultInfo {
  /** Position in the order of all faults of the machine, from 0. */
  readonly seq: number;
  /** Task that ran the device's engine. */
  readonly task: number;
}

/** A device's access failed; nothing of the failed part was moved, and the failed part of a read is all ones. */
export class DmaFault extends KernelError {
  readonly record: FaultRecord;
  /** Bytes that were moved before. */
  readonly moved: number;
  /** Index of the failing entry of an access by a list; 0 for others. */
  readonly entry: number;

  constructor(record: FaultRecord, moved: number, entry = 0) {
    const what = `${record.kind}: ${record.write ? 'write' : 'read'} of ${record.length} bytes at 0x${record.address.toString(16)} by function ${record.requester}`;
    super('EIO', 'dma', `${what}: ${record.reason}`);
    this.name = 'DmaFault';
    this.record = record;
    this.moved = moved;
    this.entry = entry;
  }
}
