import { type Machine, UsageError } from '@dmabuf-emu/shm';
import type { DmaDirection } from '../sg/dma-direction.ts';
import type { SgTable } from '../sg/sg-table.ts';
import type { Attachment } from './attachment.ts';
import type { DmaBuf } from './dma-buf.ts';
import type { KernelMapping } from './kernel-mapping.ts';
import type { VmArea } from '../fd/vm-area.ts';

/** Code known by name: shared memory holds its number, each thread its functions. */
export interface Driver {
  readonly kind: string;
  readonly name: string;
}

/**
 * What an exporter does. All run in the thread of whoever calls the core; errors are thrown as KernelError.
 * @kernel dma_buf_ops
 */
export interface ExporterOps {
  readonly name: string;
  /** May refuse the attachment, which is on no list yet. Without resv. */
  attach?(dmabuf: DmaBuf, attachment: Attachment): void;
  /** Frees what `attach` made. The attachment is off the list. Without resv. */
  detach?(dmabuf: DmaBuf, attachment: Attachment): void;
  /** Stops the storage from moving until {@link unpin}. With resv. Both or neither; there, the exporter is dynamic. */
  pin?(attachment: Attachment): void;
  /** With resv. */
  unpin?(attachment: Attachment): void;
  /** Makes a table that stays valid until the matching {@link unmap}; null means ENOMEM. With resv. */
  map(attachment: Attachment, direction: DmaDirection): SgTable | null;
  /** Undoes a map and frees its table. Cannot fail. With resv. */
  unmap(attachment: Attachment, table: SgTable, direction: DmaDirection): void;
  /** The last reference is gone: frees the exporter's object. Without locks. */
  release(dmabuf: DmaBuf): void;
  /** Without resv. */
  beginCpuAccess?(dmabuf: DmaBuf, direction: DmaDirection): void;
  /** Without resv. */
  endCpuAccess?(dmabuf: DmaBuf, direction: DmaDirection): void;
  /** Sets `area.ops`. The bounds were checked. Without resv. */
  mmap?(dmabuf: DmaBuf, area: VmArea): void;
  /** For the first user only. With resv. */
  vmap?(dmabuf: DmaBuf): KernelMapping;
  /** For the last user only. With resv. */
  vunmap?(dmabuf: DmaBuf, mapping: KernelMapping): void;
}

/** What an importer does. Giving operations at all makes it a dynamic importer. @kernel dma_buf_attach_ops */
export interface ImporterOps {
  readonly name: string;
  /** It can take bus addresses that have no page behind them. */
  readonly allowPeer2Peer: boolean;
  /**
   * Mappings it holds are stale. Runs in the exporter's thread, with resv held: it may map, unmap, pin and unpin, but neither
   * attach nor detach. Must bear being called with nothing mapped, and must not throw. Having it makes the importer revocable.
   */
  invalidateMappings?(attachment: Attachment): void;
}

/** An exporter that can be registered. */
export type Exporter = ExporterOps & { readonly kind: 'exporter' };
/** A dynamic importer that can be registered. */
export type Importer = ImporterOps & { readonly kind: 'importer' };

/** Makes an exporter of these operations. @throws UsageError without a name */
export function defineExporter(ops: ExporterOps): Exporter {
  return Object.freeze({ ...ops, name: checkedName('exporter', ops.name), kind: 'exporter' as const });
}

/** Makes a dynamic importer of these operations. @throws UsageError without a name */
export function defineImporter(ops: ImporterOps): Importer {
  return Object.freeze({ ...ops, name: checkedName('importer', ops.name), kind: 'importer' as const });
}

/**
 * Makes a driver's code available in the calling thread and returns the driver's number.
 * @throws UsageError when the thread has other code under that name
 */
export function registerDriver(machine: Machine, driver: Driver): number {
  const id = machine.drivers.id(driver.kind, driver.name);
  if (machine.drivers.has(driver.kind, id)) {
    if (machine.drivers.get(driver.kind, id) === driver) return id;
    throw new UsageError(
      `thread '${machine.taskName(machine.tid)}' has another ${driver.kind} named '${driver.name}' already`,
    );
  }
  return machine.drivers.register(driver.kind, driver.name, driver);
}

/** @throws UsageError when the calling thread has not registered exporter `id` */
export function exporterOf(machine: Machine, id: number): Exporter {
  return driverOf<Exporter>(machine, 'exporter', id);
}

/** @throws UsageError when the calling thread has not registered importer `id` */
export function importerOf(machine: Machine, id: number): Importer {
  return driverOf<Importer>(machine, 'importer', id);
}

function driverOf<T>(machine: Machine, kind: string, id: number): T {
  if (machine.drivers.has(kind, id)) return machine.drivers.get<T>(kind, id);
  throw new UsageError(
    `${kind} driver '${machine.drivers.name(kind, id)}' is not registered in thread '${machine.taskName(machine.tid)}' ` +
      `(task ${machine.tid}): call registerDrivers(machine, [...]) with it there first`,
  );
}

function checkedName(kind: string, name: unknown): string {
  if (typeof name === 'string' && name !== '') return name;
  throw new UsageError(`an ${kind} needs a name, got ${JSON.stringify(name)}`);
}
