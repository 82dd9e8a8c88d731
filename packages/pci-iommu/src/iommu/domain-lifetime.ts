import { isKernelError, KernelError, kmemSlab, type Machine, orUndo } from '@dmabuf-emu/shm';
import { DomainGeometry, type GeometryOptions, setGeometry } from './domain-geometry.ts';
import { DOMAIN_TYPES, DomainStruct, type DomainType, isDmaType } from './domain-struct.ts';
import { FlushQueue, type FlushQueueKind } from './flush-queue.ts';
import { initIotlb, iotlbWords, MIN_SETS } from './iotlb.ts';
import { IovaSpace, type ReservedRange } from './iova-space.ts';
import { PageTable } from './page-table.ts';

/** Shape of an IOTLB; both powers of two, at least 16 sets. */
export interface IotlbShape {
  readonly sets: number;
  readonly ways: number;
}

export const DEFAULT_IOTLB: IotlbShape = { sets: 64, ways: 4 };

/** What a new domain is. */
export interface DomainOptions extends GeometryOptions {
  readonly type: DomainType;
  readonly iotlb?: IotlbShape;
  /** Addresses that the DMA API must not give out. */
  readonly reserved?: readonly ReservedRange[];
  /** How a domain of type `dma-fq` queues; one queue a task by default. */
  readonly flushQueue?: FlushQueueKind;
  /** Index of the function it is made for. */
  readonly owner?: number;
}

const MAX_IOTLB_ENTRIES = 65_536;

/** Makes a domain and returns its slot. @throws KernelError ENOMEM, EINVAL; nothing is left then */
export function createDomain(machine: Machine, options: DomainOptions): number {
  const shape = options.iotlb ?? DEFAULT_IOTLB;
  checkShape(shape);
  const { mem } = machine;
  const slab = machine.slab(DomainStruct);
  const ref = slab.alloc('iommu.domain');
  const p = slab.at(ref);
  DomainStruct.type.set(mem, p, DOMAIN_TYPES.indexOf(options.type));
  DomainStruct.owner.set(mem, p, (options.owner ?? -1) + 1);
  orUndo(
    () => {
      setGeometry(machine, p, options);
      if (isDmaType(options.type) || options.type === 'unmanaged') addPageTable(machine, p, shape);
      if (isDmaType(options.type)) addIovas(machine, p, options);
      if (options.type === 'dma-fq') addFlushQueue(machine, p, options.flushQueue ?? 'per-task');
    },
    () => freeDomain(machine, ref),
  );
  return ref;
}

/** Gives everything of a domain back. */
export function freeDomain(machine: Machine, ref: number): void {
  const { mem } = machine;
  const slab = machine.slab(DomainStruct);
  const p = slab.at(ref);
  const queue = DomainStruct.flushQueue.get(mem, p);
  if (queue !== 0) FlushQueue.destroy(machine, queue);
  const iova = DomainStruct.iova.get(mem, p);
  if (iova !== 0) new IovaSpace(machine, iova).destroy();
  const tlb = DomainStruct.tlbRef.get(mem, p);
  if (tlb !== 0) {
    const words = iotlbWords(DomainStruct.tlbSets.get(mem, p), DomainStruct.tlbWays.get(mem, p));
    kmemSlab(machine, words).free(tlb, 'iommu.iotlb');
  }
  new PageTable(machine, p).destroy();
  slab.free(ref, 'iommu.domain');
}

/** Without memory for the queues the domain invalidates at once. */
function addFlushQueue(machine: Machine, p: number, kind: FlushQueueKind): void {
  try {
    DomainStruct.flushQueue.set(machine.mem, p, FlushQueue.create(machine, kind));
  } catch (error) {
    if (!isKernelError(error, 'ENOMEM')) throw error;
    DomainStruct.type.set(machine.mem, p, DOMAIN_TYPES.indexOf('dma'));
    machine.diag.info('iommu-strict', 'no memory for a flush queue: invalidating at every unmap');
  }
}

/** @kernel iommu_dma_init_domain */
function addIovas(machine: Machine, p: number, { reserved = [] }: DomainOptions): void {
  const { granule, aperture } = new DomainGeometry(machine, p);
  DomainStruct.iova.set(machine.mem, p, IovaSpace.create(machine, { granule, aperture, reserved }));
}

function addPageTable(machine: Machine, p: number, shape: IotlbShape): void {
  const { mem } = machine;
  new PageTable(machine, p).init();
  const tlbs = kmemSlab(machine, iotlbWords(shape.sets, shape.ways));
  const tlb = tlbs.alloc('iommu.iotlb');
  DomainStruct.tlbRef.set(mem, p, tlb);
  DomainStruct.tlb.set(mem, p, tlbs.at(tlb) + 1);
  initIotlb(mem, tlbs.at(tlb) + 1, shape.sets, shape.ways, DomainStruct.top.get(mem, p));
  DomainStruct.tlbSets.set(mem, p, shape.sets);
  DomainStruct.tlbWays.set(mem, p, shape.ways);
}

function checkShape({ sets, ways }: IotlbShape): void {
  const isPower = (value: number): boolean => Number.isInteger(Math.log2(value));
  if (isPower(sets) && isPower(ways) && sets >= MIN_SETS && sets * ways <= MAX_IOTLB_ENTRIES) return;
  throw new KernelError(
    'EINVAL',
    'iommu_domain_alloc',
    `IOTLB of ${sets} sets, ${ways} ways: both must be powers of two, at least ${MIN_SETS} sets, at most ${MAX_IOTLB_ENTRIES} entries`,
  );
}
