import { KernelError, type Machine } from '@dmabuf-emu/shm';
import { PAGE_SIZE } from '../memory/page.ts';
import { DomainStruct } from './domain-struct.ts';
import { DEFAULT_PGSIZES, lowestOrder, ordersOf } from './page-sizes.ts';
import { MAX_PAGE_NUMBER } from './table-entry.ts';

const D = DomainStruct;
/** The top of every IOVA space: 48 bits. */
export const IOVA_APERTURE_END = MAX_PAGE_NUMBER * PAGE_SIZE - 1;
const DEFAULT_OUTPUT_BITS = 52;

/** The IOVAs that a domain can map. Both ends inclusive. @kernel struct iommu_domain_geometry */
export interface Aperture {
  readonly start: number;
  readonly end: number;
}

/** What a domain's page table can express. */
export interface GeometryOptions {
  /**
   * The sizes of its leaves added up; 4 KiB, 2 MiB and 1 GiB by default. The smallest is the granule of every mapping, and
   * may be larger than a page of the CPU. @kernel iommu_domain.pgsize_bitmap
   */
  readonly pgsizeBitmap?: number;
  /** 48 bits by default. @kernel iommu_domain_geometry.aperture_start, iommu_domain_geometry.aperture_end */
  readonly aperture?: Aperture;
  /** Bits of the physical addresses that an entry holds; 52 by default. */
  readonly outputBits?: number;
  /** Format of the page table: which errno tells that something is mapped already, EADDRINUSE or EEXIST. */
  readonly format?: 'generic' | 'arm';
}

/** Notes what the page table of a new domain can express. @throws KernelError EINVAL for what none can */
export function setGeometry(machine: Machine, p: number, options: GeometryOptions): void {
  const { mem } = machine;
  const { start, end } = options.aperture ?? { start: 0, end: IOVA_APERTURE_END };
  const bits = options.outputBits ?? DEFAULT_OUTPUT_BITS;
  if (!(start >= 0 && start <= end && end <= IOVA_APERTURE_END)) {
    throw refuse(`aperture 0x${start.toString(16)}..0x${end.toString(16)}: at most 0..2^48 - 1`);
  }
  if (!(Number.isInteger(bits) && bits > 12 && bits <= DEFAULT_OUTPUT_BITS))
    throw refuse(`${bits} output bits: 13 to 52`);
  D.orders.set(mem, p, ordersOf(options.pgsizeBitmap ?? DEFAULT_PGSIZES));
  D.apertureStart.set(mem, p, start);
  D.apertureEnd.set(mem, p, end);
  D.outputEnd.set(mem, p, 2 ** bits);
  D.arm.set(mem, p, options.format === 'arm' ? 1 : 0);
}

/** What the page table of a domain can express, read once by each handle. */
export class DomainGeometry {
  /** The smallest size of a leaf, in bytes. Addresses and sizes are multiples of it. */
  readonly granule: number;
  /** @kernel iommu_domain.pgsize_bitmap */
  readonly pgsizeBitmap: number;
  readonly aperture: Aperture;
  /** First physical address that an entry cannot hold. */
  readonly outputEnd: number;

  constructor(machine: Machine, p: number) {
    const { mem } = machine;
    const orders = D.orders.get(mem, p);
    this.granule = PAGE_SIZE * 2 ** lowestOrder(orders);
    this.pgsizeBitmap = orders * PAGE_SIZE;
    this.aperture = { start: D.apertureStart.get(mem, p), end: D.apertureEnd.get(mem, p) };
    this.outputEnd = D.outputEnd.get(mem, p);
  }
}

function refuse(text: string): KernelError {
  return new KernelError('EINVAL', 'iommu_domain_alloc', text);
}
