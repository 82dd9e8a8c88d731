import { i32, KernelError, type Machine, mutex, mutexOf, struct, u53 } from '@dmabuf-emu/shm';
import type { IommuGroup } from '../groups/index.ts';
import type { TopologyFunction } from '../topology/index.ts';

/** Who may do DMA by means of a group's default domain, or has the group for himself. */
const OwnerStruct = struct('iommu_group', {
  mutex: mutex('iommu_group.mutex'),
  /** Drivers that use the DMA API, or claims of the owner. @kernel iommu_group.owner_cnt */
  count: i32(),
  /** 0 while the kernel's drivers have the group. @kernel iommu_group.owner */
  owner: u53(),
});
const O = OwnerStruct;

/** What {@link DmaOwnership} needs of its system. */
export interface OwnershipContext {
  readonly machine: Machine;
  readonly groups: readonly IommuGroup[];
  groupOf(fn: TopologyFunction): IommuGroup | null;
  /** Whether a function is attached to its default domain. */
  hasDefaultDomain(fn: TopologyFunction): boolean;
  /** Attaches the functions of a group to the domain that lets nothing pass, or to their default domain again. */
  block(fn: TopologyFunction, on: boolean): void;
}

/**
 * Who has the DMA of a group: the kernel's drivers, counted, or one user such as VFIO or iommufd, which finds all of it
 * blocked until it attaches a domain of its own. Drivers that do no DMA through the kernel (vfio, pci-stub, PCIe ports) take no
 * part.
 */
export class DmaOwnership {
  readonly #context: OwnershipContext;
  readonly #at: number;

  constructor(context: OwnershipContext) {
    this.#context = context;
    this.#at = context.machine.root('pci.dma-owners', Math.max(1, context.groups.length) * O.$words);
  }

  /**
   * A driver that uses the DMA API binds to a function.
   *
   * @throws KernelError EBUSY when somebody else has the group
   * @kernel iommu_device_use_default_domain
   */
  useDefaultDomain(fn: TopologyFunction): void {
    const group = this.#context.groupOf(fn);
    if (group === null) return;
    this.#locked(group, (p) => {
      if (this.#count(p) > 0 && (this.#owner(p) !== 0 || !this.#isDefault(group))) {
        throw new KernelError('EBUSY', 'iommu_device_use_default_domain', `${this.#name(group)} has another owner`);
      }
      O.count.add(this.#mem, p, 1);
    });
  }

  /** Such a driver unbinds. @kernel iommu_device_unuse_default_domain */
  unuseDefaultDomain(fn: TopologyFunction): void {
    const group = this.#context.groupOf(fn);
    if (group === null) return;
    this.#locked(group, (p) => {
      if (this.#count(p) > 0 && this.#owner(p) === 0) O.count.sub(this.#mem, p, 1);
      else this.#warn(`${this.#name(group)} is used by no driver`);
    });
  }

  /**
   * Takes a whole group; its DMA is blocked.
   *
   * @param owner - any number but 0
   * @throws KernelError EPERM while drivers or another owner have it, EBUSY when it is attached to another domain, EINVAL
   * @kernel iommu_group_claim_dma_owner
   */
  claimGroup(fn: TopologyFunction, owner: number): void {
    this.#claim(fn, owner, 'iommu_group_claim_dma_owner', false);
  }

  /**
   * Takes a function's group, also once more for another function of it.
   *
   * @param owner - any number but 0
   * @throws KernelError as {@link claimGroup}; ENODEV when no IOMMU sees the function
   * @kernel iommu_device_claim_dma_owner
   */
  claimDevice(fn: TopologyFunction, owner: number): void {
    this.#claim(fn, owner, 'iommu_device_claim_dma_owner', true);
  }

  /** Gives a group back to the kernel's drivers. @kernel iommu_group_release_dma_owner */
  releaseGroup(fn: TopologyFunction): void {
    this.#release(fn, true);
  }

  /** Gives back one claim of {@link claimDevice}; the last one gives the group back. @kernel iommu_device_release_dma_owner */
  releaseDevice(fn: TopologyFunction): void {
    this.#release(fn, false);
  }

  /** Drivers that use a function's group, or claims of its owner. @kernel iommu_group_dma_owner_claimed */
  userCount(fn: TopologyFunction): number {
    const group = this.#context.groupOf(fn);
    return group === null ? 0 : this.#count(this.#p(group));
  }

  /** The owner of a function's group; 0 while it is the kernel's drivers' own. */
  ownerOf(fn: TopologyFunction): number {
    const group = this.#context.groupOf(fn);
    return group === null ? 0 : this.#owner(this.#p(group));
  }

  #claim(fn: TopologyFunction, owner: number, call: string, again: boolean): void {
    const group = this.#context.groupOf(fn);
    if (owner === 0) {
      this.#warn(`${call} without an owner`);
      throw new KernelError('EINVAL', call, 'an owner is any number but 0');
    }
    if (group === null) throw new KernelError('ENODEV', call, `no IOMMU sees ${fn.bdf}`);
    this.#locked(group, (p) => {
      if (this.#count(p) > 0 && !(again && this.#owner(p) === owner)) {
        const who = this.#owner(p) === 0 ? `${this.#count(p)} drivers` : 'another owner';
        throw new KernelError('EPERM', call, `${this.#name(group)} is in use by ${who}`);
      }
      if (this.#count(p) === 0) {
        if (!this.#isDefault(group)) throw new KernelError('EBUSY', call, `${this.#name(group)} is attached elsewhere`);
        this.#context.block(fn, true);
        O.owner.set(this.#mem, p, owner);
      }
      O.count.add(this.#mem, p, 1);
    });
  }

  #release(fn: TopologyFunction, whole: boolean): void {
    const group = this.#context.groupOf(fn);
    if (group === null) return;
    this.#locked(group, (p) => {
      if (this.#count(p) === 0 || this.#owner(p) === 0) {
        this.#warn(`${this.#name(group)} was not claimed`);
        return;
      }
      if (!whole && this.#count(p) > 1) {
        O.count.sub(this.#mem, p, 1);
        return;
      }
      O.count.store(this.#mem, p, 0);
      O.owner.set(this.#mem, p, 0);
      this.#context.block(fn, false);
    });
  }

  #isDefault(group: IommuGroup): boolean {
    return group.functions.every((fn) => this.#context.hasDefaultDomain(fn));
  }

  #locked(group: IommuGroup, act: (p: number) => void): void {
    const p = this.#p(group);
    mutexOf(this.#context.machine, p, O.mutex).with(() => act(p));
  }

  #p(group: IommuGroup): number {
    return this.#at + group.id * O.$words;
  }

  #count(p: number): number {
    return O.count.load(this.#mem, p);
  }

  #owner(p: number): number {
    return O.owner.get(this.#mem, p);
  }

  get #mem(): Machine['mem'] {
    return this.#context.machine.mem;
  }

  #name({ id }: IommuGroup): string {
    return `IOMMU group ${id}`;
  }

  #warn(text: string): void {
    this.#context.machine.diag.warn('dma-ownership', text);
  }
}
