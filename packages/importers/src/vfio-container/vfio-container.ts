import { type IommuDomain, MESSAGE_WINDOW, type PciFunction, PciSystem } from '@dmabuf-emu/pci-iommu';
import { isKernelError, KernelError, type Machine, orUndo } from '@dmabuf-emu/shm';
import { Ioas } from '../iommufd/ioas.ts';
import { iommufdDevice } from '../iommufd/iommufd-session.ts';
import { IoasMap } from '../iommufd/map-file-request.ts';
import { registerImporters } from '../register.ts';
import type { DmaMapRequest, IovaRange, U64Range } from './dma-request.ts';
import { Type1 } from './type1.ts';

/** How a user of VFIO maps memory: VFIO's own driver, iommufd in its place, or iommufd by its own calls. */
export const IOMMU_MODES = [
  'vfio_type1_iommu',
  'vfio_type1v2_iommu',
  'iommufd_compat_type1',
  'iommufd_compat_type1v2',
  'iommufd',
] as const;
export type IommuMode = (typeof IOMMU_MODES)[number];

/** Program memory to be mapped. Numbers of 64 bits may be given as bigint. @kernel vfio_iommu_type1_dma_map */
export interface DmaMap {
  readonly iova: number | bigint;
  /** Address in the calling task's memory. */
  readonly vaddr: number;
  readonly size: number | bigint;
  /** Both by default. */
  readonly read?: boolean;
  readonly write?: boolean;
}

/**
 * The I/O address space of devices that a program drives through VFIO: memory of the program at addresses of its choice.
 * A handle of the task that opened it.
 * @kernel vfio_container, iommufd_vfio_ioctl
 */
export class VfioContainer implements Disposable {
  readonly machine: Machine;
  readonly mode: IommuMode;
  /** What the devices are attached to. */
  readonly domain: IommuDomain;
  readonly #functions: PciFunction[] = [];
  readonly #space: Type1 | Ioas;

  private constructor(machine: Machine, mode: IommuMode) {
    registerImporters(machine);
    const pci = PciSystem.of(machine);
    this.machine = machine;
    this.mode = mode;
    this.domain = pci.createDomain();
    this.#space = orUndo(
      () => (mode === 'vfio_type1_iommu' || mode === 'vfio_type1v2_iommu' ? this.#type1() : this.#ioas(pci)),
      () => this.domain.destroy(),
    );
  }

  /** Opens a container with a first device. @throws KernelError ENOMEM */
  static open(machine: Machine, mode: IommuMode, fn: PciFunction): VfioContainer {
    const container = new VfioContainer(machine, mode);
    container.attach(fn);
    return container;
  }

  /** Puts another device's accesses through the container. @kernel VFIO_GROUP_SET_CONTAINER, VFIO_DEVICE_ATTACH_IOMMUFD_PT */
  attach(fn: PciFunction): void {
    fn.attachDomain(this.domain);
    this.#functions.push(fn);
  }

  /** Ranges that may be mapped, ascending. @kernel VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, IOMMU_IOAS_IOVA_RANGES */
  get iovaRanges(): readonly IovaRange[] {
    const { start, end } = this.domain.geometry.aperture;
    return [
      { start, end: MESSAGE_WINDOW.start - 1 },
      { start: MESSAGE_WINDOW.end + 1, end },
    ];
  }

  /**
   * Pins and maps program memory.
   * @kernel VFIO_IOMMU_MAP_DMA, IOMMU_IOAS_MAP
   * @throws KernelError EOVERFLOW when the range exceeds 64 bits, EINVAL (no multiples of the page size, outside of
   *   {@link iovaRanges}), EEXIST, ENOSPC, EFAULT (not mapped by the program; for iommufd also a mapped BAR), ENOMEM
   */
  mapDma(map: DmaMap): void {
    const request: DmaMapRequest = {
      iova: toU64(map.iova, 'iova'),
      size: toU64(map.size, 'size'),
      vaddr: map.vaddr,
      read: map.read ?? true,
      write: map.write ?? true,
    };
    if (this.#space instanceof Type1) this.#space.map(request);
    else {
      const flags =
        IoasMap.FIXED_IOVA | (request.read ? IoasMap.READABLE : 0) | (request.write ? IoasMap.WRITEABLE : 0);
      this.#space.mapUser({ flags, vaddr: request.vaddr, length: request.size, iova: request.iova });
    }
  }

  /**
   * Unmaps what is mapped in a range, or everything; returns its bytes. Nothing there is 0 bytes, but for iommufd's own call.
   * @kernel VFIO_IOMMU_UNMAP_DMA, IOMMU_IOAS_UNMAP
   * @throws KernelError EOVERFLOW when the range exceeds 64 bits; EINVAL when it cuts a mapping (Type1v2) or is no multiple of
   *   the page size; ENOENT from iommufd's own call when nothing is there or a mapping would be cut
   */
  unmapDma(range: { readonly iova: number | bigint; readonly size: number | bigint } | 'all'): number {
    const checked: U64Range | 'all' =
      range === 'all' ? range : { iova: toU64(range.iova, 'iova'), size: toU64(range.size, 'size') };
    if (this.#space instanceof Type1) return this.#space.unmap(checked);
    if (checked === 'all') return this.#space.unmapAll();
    const { iova, size } = checked;
    if (iova + size > 2n ** 64n) {
      throw new KernelError('EOVERFLOW', 'IOMMU_IOAS_UNMAP', `iova 0x${iova.toString(16)}+${size} exceeds 64 bits`);
    }
    try {
      return this.#space.unmap(Number(iova), Number(size));
    } catch (error) {
      if (this.mode !== 'iommufd' && isKernelError(error, 'ENOENT')) return 0;
      throw error;
    }
  }

  /** Detaches the devices, unmaps everything and ends. */
  close(): void {
    for (const fn of this.#functions.splice(0)) fn.attachDomain(null);
    this.#space.destroy();
    this.domain.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #type1(): Type1 {
    const { machine, domain, mode, iovaRanges: ranges } = this;
    return new Type1({ machine, domain, ranges, v2: mode === 'vfio_type1v2_iommu' });
  }

  #ioas(pci: PciSystem): Ioas {
    const ioas = Ioas.alloc({
      pci,
      device: iommufdDevice(this.machine),
      reserved: [MESSAGE_WINDOW],
      smallPages: this.mode === 'iommufd_compat_type1',
    });
    return orUndo(
      () => {
        ioas.addDomain(this.domain);
        return ioas;
      },
      () => ioas.destroy(),
    );
  }
}

function toU64(value: number | bigint, what: string): bigint {
  const whole = typeof value === 'bigint' ? value : Number.isSafeInteger(value) ? BigInt(value) : -1n;
  if (whole < 0n || whole >= 2n ** 64n) {
    throw new KernelError('EINVAL', 'vfio', `${what}: expected a number of 64 bits, got ${value}`);
  }
  return whole;
}
