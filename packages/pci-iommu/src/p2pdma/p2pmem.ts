import { SgTable } from '@dmabuf-emu/core';
import { isKernelError, KernelError, type Machine, type Random } from '@dmabuf-emu/shm';
import { FunctionStruct } from '../config-space/function-state.ts';
import { PAGE_SIZE } from '../memory/page.ts';
import { isDecodedMemory, type Topology, type TopologyFunction } from '../topology/index.ts';
import { P2pmemPool, type PoolChunk } from './p2pmem-pool.ts';

const F = FunctionStruct;

/** What {@link P2pmem} needs of a machine's peer-to-peer DMA. */
export interface P2pmemContext {
  readonly machine: Machine;
  readonly topology: Topology;
  /** Word of a function's state. */
  stateOf(fn: TopologyFunction): number;
  /** @kernel pcim_p2pdma_init */
  init(fn: TopologyFunction): 'EOPNOTSUPP' | null;
  isInitialised(fn: TopologyFunction): boolean;
  /** @kernel pci_p2pdma_distance_many */
  distanceMany(provider: TopologyFunction, clients: readonly (TopologyFunction | null)[]): number;
}

/** What an administrator chose for a user of peer memory: none, any, or that of one function. */
export interface P2pChoice {
  readonly use: boolean;
  readonly provider: TopologyFunction | null;
}

/**
 * Memory of BARs as memory to allocate: drivers add what they have, publish it, and others take pages of it for buffers that
 * devices fill. Physical addresses stand for the kernel's virtual ones.
 */
export class P2pmem {
  readonly #context: P2pmemContext;

  constructor(context: P2pmemContext) {
    this.#context = context;
  }

  /**
   * Adds part of a BAR to what can be allocated.
   *
   * @param size - 0 for all from `offset` on
   * @throws KernelError EINVAL when that is not whole pages of a memory BAR, EOPNOTSUPP for BARs that the CPU cannot map, ENOMEM
   * @kernel pci_p2pdma_add_resource
   */
  addResource(fn: TopologyFunction, bar: number, size = 0, offset = 0): void {
    const call = 'pci_p2pdma_add_resource';
    const description = fn.bar(bar);
    if (description === undefined || !isDecodedMemory(description)) {
      throw new KernelError('EINVAL', call, `BAR ${bar} of ${fn.bdf} is no memory`);
    }
    const length = description.size;
    const bytes = size === 0 ? length - offset : size;
    if (offset >= length || bytes + offset > length || offset % PAGE_SIZE !== 0 || bytes % PAGE_SIZE !== 0) {
      throw new KernelError(
        'EINVAL',
        call,
        `${bytes} bytes at ${offset}; BAR ${bar} of ${fn.bdf} has ${length}, whole pages`,
      );
    }
    if (this.#context.init(fn) !== null) {
      throw new KernelError('EOPNOTSUPP', call, `the BARs of ${fn.bdf} cannot be mapped`);
    }
    const start = description.start + offset;
    const pages = bytes / PAGE_SIZE;
    if (!this.#pool(fn).add(start, start + fn.hostBridge.busOffsetAt(start), pages)) {
      this.#context.machine.diag.warn('p2pmem-conflict', `part of BAR ${bar} of ${fn.bdf} was added already`);
      throw new KernelError('ENOMEM', call, `0x${start.toString(16)}+${pages} pages were added already`);
    }
  }

  /** Lets everybody find a function's memory, or no longer. Without initialisation nothing happens. @kernel pci_p2pmem_publish */
  publish(fn: TopologyFunction, on: boolean): void {
    if (this.#context.isInitialised(fn)) F.p2pmemPublished.store(this.#mem, this.#p(fn), on ? 1 : 0);
  }

  /** Whether a function's memory is published; it may have none. @kernel pci_has_p2pmem */
  isPublished(fn: TopologyFunction): boolean {
    return this.#context.isInitialised(fn) && F.p2pmemPublished.load(this.#mem, this.#p(fn)) !== 0;
  }

  /** Takes memory, rounded up to pages. @returns its physical address; `null` when there is not so much in a row @kernel pci_alloc_p2pmem */
  alloc(fn: TopologyFunction, size: number): number | null {
    const pages = Math.ceil(size / PAGE_SIZE);
    if (pages < 1 || !this.#context.isInitialised(fn) || this.#fails()) return null;
    const address = this.#pool(fn).alloc(pages);
    return address === 0 ? null : address;
  }

  /** Gives memory back; what was not given out is a BUG. @kernel pci_free_p2pmem */
  free(fn: TopologyFunction, address: number, size: number): void {
    if (this.#pool(fn).free(address, Math.ceil(size / PAGE_SIZE))) return;
    this.#context.machine.diag.bug(
      'p2pmem-bad-free',
      `0x${address.toString(16)}+${size} of ${fn.bdf} was not given out`,
    );
  }

  /** The address that peers on the bus use; 0 for 0 and without initialisation, -1 for what is not in the pool. @kernel pci_p2pmem_virt_to_bus */
  busAddressOf(fn: TopologyFunction, address: number): number {
    return address === 0 || !this.#context.isInitialised(fn) ? 0 : this.#pool(fn).busAddressOf(address);
  }

  /** Memory as a table with one entry. @returns `null` when there is not so much @kernel pci_p2pmem_alloc_sgl */
  allocSgl(fn: TopologyFunction, length: number): SgTable | null {
    const address = this.alloc(fn, length);
    if (address === null) return null;
    try {
      return SgTable.from(this.#context.machine, [{ address, length }], 'pci_p2pmem_alloc_sgl');
    } catch (error) {
      if (!isKernelError(error, 'ENOMEM')) throw error;
      this.free(fn, address, length);
      return null;
    }
  }

  /** Frees a table of {@link allocSgl} and its memory. @kernel pci_p2pmem_free_sgl */
  freeSgl(fn: TopologyFunction, table: SgTable): void {
    for (const { address, length } of table.entries()) this.free(fn, address, length);
    table.free('pci_p2pmem_free_sgl');
  }

  /**
   * The function with published memory that is nearest to all clients, by chance among those that are equally near.
   *
   * @param random - who decides; without it, the first
   * @returns `null` when no published memory can be reached by all
   * @kernel pci_p2pmem_find_many
   */
  findMany(clients: readonly (TopologyFunction | null)[], random?: Random): TopologyFunction | null {
    let nearest = Infinity;
    let found: TopologyFunction[] = [];
    for (const fn of this.#context.topology.functions) {
      if (!this.isPublished(fn)) continue;
      const distance = this.#context.distanceMany(fn, clients);
      if (distance < 0 || distance > nearest) continue;
      if (distance < nearest) found = [];
      nearest = distance;
      found.push(fn);
    }
    return found.length === 0 ? null : (random?.pick(found) ?? found[0]!);
  }

  /** {@link findMany} for one client. @kernel pci_p2pmem_find */
  find(client: TopologyFunction | null, random?: Random): TopologyFunction | null {
    return this.findMany([client], random);
  }

  /**
   * Reads what an administrator wrote: a function's name, or a truth value.
   *
   * @throws KernelError ENODEV for a function without published memory and for anything else
   * @kernel pci_p2pdma_enable_store
   */
  parseChoice(text: string): P2pChoice {
    const fn = this.#context.topology.find(text.trim());
    if (fn !== undefined) {
      if (this.isPublished(fn)) return { use: true, provider: fn };
      throw new KernelError('ENODEV', 'pci_p2pdma_enable_store', `${fn.bdf} has no peer-to-peer memory`);
    }
    const use = truth(text);
    if (use !== null) return { use, provider: null };
    throw new KernelError('ENODEV', 'pci_p2pdma_enable_store', `no such PCI device: ${JSON.stringify(text)}`);
  }

  /** Text of a choice, as it is shown again. @kernel pci_p2pdma_enable_show */
  formatChoice({ use, provider }: P2pChoice): string {
    return `${use ? (provider?.bdf ?? '1') : '0'}\n`;
  }

  /** Bytes that were added, and bytes of them that are free. */
  sizes(fn: TopologyFunction): { readonly size: number; readonly available: number } {
    const chunks = this.chunks(fn);
    const bytes = (of: (chunk: PoolChunk) => number): number =>
      chunks.reduce((sum, chunk) => sum + of(chunk), 0) * PAGE_SIZE;
    return { size: bytes(({ pages }) => pages), available: bytes(({ pages, used }) => pages - used) };
  }

  /** The ranges that were added, newest first. */
  chunks(fn: TopologyFunction): readonly PoolChunk[] {
    return this.#pool(fn).list();
  }

  /** The driver lets go: the kernel would wait for memory that is still in use, so there must be none. @kernel pci_p2pdma_release */
  release(fn: TopologyFunction): void {
    const used = this.chunks(fn).reduce((sum, chunk) => sum + chunk.used, 0);
    if (used > 0) this.#context.machine.diag.warn('p2pmem-in-use', `${used} pages of ${fn.bdf} are still in use`);
    F.p2pmemPublished.store(this.#mem, this.#p(fn), 0);
    this.#pool(fn).destroy();
  }

  #fails(): boolean {
    const { faults } = this.#context.machine;
    if (!faults.armed) return false;
    try {
      faults.check('pci_alloc_p2pmem');
      return false;
    } catch (error) {
      if (!isKernelError(error, 'ENOMEM')) throw error;
      return true;
    }
  }

  get #mem(): Machine['mem'] {
    return this.#context.machine.mem;
  }

  #p(fn: TopologyFunction): number {
    return this.#context.stateOf(fn);
  }

  #pool(fn: TopologyFunction): P2pmemPool {
    return new P2pmemPool(this.#context.machine, this.#p(fn));
  }
}

/** A truth value in the kernel's spelling; what begins with a digit must be that digit alone. @kernel kstrtobool */
function truth(text: string): boolean | null {
  if (/^[01]/u.test(text)) return /^[01]\n?$/u.test(text) ? text.startsWith('1') : null;
  if (/^(?:[yt]|on)/iu.test(text)) return true;
  return /^(?:[nf]|of)/iu.test(text) ? false : null;
}
