import { type IommuDomain, IommuProt } from '@dmabuf-emu/pci-iommu';
import { KernelError, type Machine, type Mutex, mutexOf, orUndo } from '@dmabuf-emu/shm';
import { RefList } from '../internal/ref-list.ts';
import { pinnedRuns, pinUser, unpinUser } from '../user-memory/user-pins.ts';
import { ContainerStruct as C, VfioDmaStruct as D } from './container-structs.ts';
import type { DmaMapRequest, IovaRange, U64Range } from './dma-request.ts';

/** @kernel dma_entry_limit */
const DMA_ENTRIES = 65_535;

/** What a Type1 address space is made of. */
export interface Type1Options {
  readonly machine: Machine;
  readonly domain: IommuDomain;
  /** Ranges that may be mapped, ascending. */
  readonly ranges: readonly IovaRange[];
  /** Type1v2: an unmap must not cut what was mapped at once. @kernel VFIO_TYPE1v2_IOMMU */
  readonly v2: boolean;
}

/**
 * VFIO's own driver of I/O address spaces: pins program memory and maps it, with pages as large as its places allow.
 * @kernel vfio_iommu_type1
 */
export class Type1 {
  readonly #options: Type1Options;
  readonly #ref: number;
  readonly #lock: Mutex;
  readonly #dmas: RefList;

  /** @throws KernelError ENOMEM */
  constructor(options: Type1Options) {
    const { machine } = options;
    const slab = machine.slab(C);
    this.#options = options;
    this.#ref = slab.alloc('vfio_container');
    const p = slab.at(this.#ref);
    C.task.set(machine.mem, p, machine.tid);
    this.#lock = mutexOf(machine, p, C.lock);
    this.#dmas = new RefList(machine, D, D.next, p + C.dmas.at);
  }

  /** @kernel vfio_dma_do_map @throws as `VfioContainer.mapDma` */
  map({ iova, vaddr, size, read, write }: DmaMapRequest): void {
    const last = iova + size - 1n;
    if (size > 0n && last >= 2n ** 64n)
      throw mapError('EOVERFLOW', `iova 0x${iova.toString(16)}+${size} exceeds 64 bits`);
    if (size > 0n && BigInt(vaddr) + size > 2n ** 64n)
      throw mapError('EOVERFLOW', `vaddr ${vaddr}+${size} exceeds 64 bits`);
    if (!read && !write) throw mapError('EINVAL', 'neither readable nor writable');
    const { granule } = this.#options.domain.geometry;
    const mask = BigInt(granule - 1);
    if (size === 0n || ((size | iova | BigInt(vaddr)) & mask) !== 0n) {
      throw mapError('EINVAL', `iova, vaddr and size must be multiples of ${granule}, size above 0`);
    }
    this.#lock.with(() => {
      this.#checkFree(iova, last);
      this.#pinAndMap(Number(iova), vaddr, Number(size), (read ? IommuProt.READ : 0) | (write ? IommuProt.WRITE : 0));
    });
  }

  /** @kernel vfio_dma_do_unmap @throws as `VfioContainer.unmapDma` */
  unmap(range: U64Range | 'all'): number {
    if (range === 'all') return this.#lock.with(() => this.#remove([...this.#dmas.members()]));
    const { iova, size } = range;
    const { granule } = this.#options.domain.geometry;
    const mask = BigInt(granule - 1);
    if ((iova & mask) !== 0n || size === 0n || (size & mask) !== 0n) {
      throw unmapError('EINVAL', `iova and size must be multiples of ${granule}, size above 0`);
    }
    const last = iova + size - 1n;
    if (last >= 2n ** 64n) throw unmapError('EOVERFLOW', `iova 0x${iova.toString(16)}+${size} exceeds 64 bits`);
    return this.#lock.with(() => this.#remove(this.#inside(Number(iova), Number(last))));
  }

  /** Unmaps everything and frees it. */
  destroy(): void {
    this.unmap('all');
    this.#options.machine.slab(C).free(this.#ref, 'vfio_container');
  }

  #checkFree(iova: bigint, last: bigint): void {
    const dmas = [...this.#dmas.members()];
    const overlaps = dmas.some((dma) => {
      const { first, end } = this.#rangeOf(dma);
      return BigInt(first) <= last && BigInt(end) > iova;
    });
    if (overlaps) throw mapError('EEXIST', 'something is mapped there');
    if (dmas.length >= DMA_ENTRIES) throw mapError('ENOSPC', `${DMA_ENTRIES} mappings are the limit`);
    if (!this.#options.ranges.some(({ start, end }) => BigInt(start) <= iova && last <= BigInt(end))) {
      throw mapError('EINVAL', 'not wholly inside a range that the IOMMU allows');
    }
  }

  #pinAndMap(iova: number, vaddr: number, bytes: number, prot: number): void {
    const { machine, domain } = this.#options;
    const { mem } = machine;
    const slab = machine.slab(D);
    const ref = slab.alloc('vfio_dma');
    orUndo(
      () => {
        const pins = pinUser(machine, vaddr, bytes, true);
        let done = 0;
        orUndo(
          () => {
            for (const run of pinnedRuns(machine, pins)) {
              domain.map(iova + done, run.paddr, run.bytes, prot | IommuProt.CACHE);
              done += run.bytes;
            }
          },
          () => {
            if (done > 0) domain.unmap(iova, done);
            unpinUser(machine, pins);
          },
        );
        const p = slab.at(ref);
        D.task.set(mem, p, machine.tid);
        D.iova.set(mem, p, iova);
        D.bytes.set(mem, p, bytes);
        D.pins.set(mem, p, pins);
        D.domain.set(mem, p, domain.ref);
        this.#dmas.push(ref);
      },
      () => slab.free(ref, 'vfio_dma'),
    );
  }

  /** What an unmap of these addresses, both inclusive, takes. */
  #inside(iova: number, last: number): number[] {
    const { v2 } = this.#options;
    const touched = [...this.#dmas.members()]
      .filter((dma) => {
        const { first, end } = this.#rangeOf(dma);
        return first <= last && end > iova;
      })
      .toSorted((a, b) => this.#rangeOf(a).first - this.#rangeOf(b).first);
    const cut = touched.find((dma) => this.#rangeOf(dma).first < iova || this.#rangeOf(dma).end - 1 > last);
    if (v2 && cut !== undefined) throw unmapError('EINVAL', 'the range cuts what was mapped at once');
    // The first version takes whole mappings that begin in the range, and nothing once one begins before it.
    const before = touched.findIndex((dma) => this.#rangeOf(dma).first < iova);
    return before < 0 ? touched : touched.slice(0, before);
  }

  #remove(dmas: readonly number[]): number {
    const { machine, domain } = this.#options;
    const { mem } = machine;
    let bytes = 0;
    for (const dma of dmas) {
      const { first, end } = this.#rangeOf(dma);
      domain.unmap(first, end - first);
      this.#dmas.remove(dma);
      const pins = D.pins.get(mem, machine.slab(D).at(dma));
      machine.slab(D).free(dma, 'vfio_dma');
      unpinUser(machine, pins);
      bytes += end - first;
    }
    return bytes;
  }

  #rangeOf(dma: number): { first: number; end: number } {
    const { mem } = this.#options.machine;
    const p = this.#options.machine.slab(D).at(dma);
    const first = D.iova.get(mem, p);
    return { first, end: first + D.bytes.get(mem, p) };
  }
}

function mapError(code: 'EINVAL' | 'EOVERFLOW' | 'EEXIST' | 'ENOSPC', detail: string): KernelError {
  return new KernelError(code, 'VFIO_IOMMU_MAP_DMA', detail);
}

function unmapError(code: 'EINVAL' | 'EOVERFLOW', detail: string): KernelError {
  return new KernelError(code, 'VFIO_IOMMU_UNMAP_DMA', detail);
}
