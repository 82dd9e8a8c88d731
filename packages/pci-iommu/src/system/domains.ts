import { KernelError, type Machine, ref, struct } from '@dmabuf-emu/shm';
import { FunctionFlag, FunctionStruct } from '../config-space/function-state.ts';
import { DeviceTlb, type FlushQueueKind, IommuDomain, type IotlbShape } from '../iommu/index.ts';
import type { MemoryMap } from '../memory/index.ts';
import type { CpuDescription, TopologyFunction } from '../topology/index.ts';
import { reservedIovas } from './reserved-regions.ts';

const DomainsStruct = struct('pci.domains', { blocked: ref(), identity: ref() });
const D = DomainsStruct;
const F = FunctionStruct;
/** Asked for at every access: a struct with so many fields is slow to look a field up in. */
const ATTACHED = F.domain;

/** What {@link Domains} needs to know of the machine. */
export interface DomainsContext {
  readonly machine: Machine;
  readonly map: MemoryMap;
  readonly cpu: CpuDescription;
  readonly strict: boolean;
  readonly flushQueue: FlushQueueKind;
  readonly iotlb: IotlbShape;
  readonly pgsizeBitmap: number;
  /** Word of a function's state. */
  stateOf(fn: TopologyFunction): number;
  /** The functions of a function's group, in the order in which they were found; empty when no IOMMU sees it. */
  groupOf(fn: TopologyFunction): readonly TopologyFunction[];
}

/**
 * Which domain each function is attached to: the default domain of its group until somebody attaches another. That is one
 * for the DMA API, shared by the functions of the group, or, where no IOMMU sees them, the one that passes everything.
 * Default domains are made when they are first needed.
 */
export class Domains {
  readonly #context: DomainsContext;
  readonly #p: number;
  /** This thread's handles, by function index: of the default domain, and of the last other one. */
  readonly #defaults: (IommuDomain | undefined)[] = [];
  /** The same by slot: functions of a group share the handle as well. */
  readonly #defaultHandles = new Map<number, IommuDomain>();
  readonly #others: (IommuDomain | undefined)[] = [];

  constructor(context: DomainsContext) {
    const { machine } = context;
    this.#context = context;
    this.#p = machine.root('pci.domains', D.$words);
  }

  /** The domain that a function is attached to. @throws KernelError ENOMEM when it must be made first */
  of(fn: TopologyFunction): IommuDomain {
    const { machine, map } = this.#context;
    const domain = ATTACHED.get(machine.mem, this.#context.stateOf(fn));
    if (domain === 0) return this.#defaults[fn.index] ?? this.#openDefault(fn);
    const known = this.#others[fn.index];
    if (known !== undefined && known.ref === domain) return known;
    return (this.#others[fn.index] = new IommuDomain(machine, map, domain));
  }

  /** Attaches a function to a domain; `null` is its default domain. */
  attach(fn: TopologyFunction, domain: IommuDomain | null): void {
    const { machine, map } = this.#context;
    domain?.countDevice(1);
    const former = F.domain.exchange(machine.mem, this.#context.stateOf(fn), domain === null ? 0 : domain.ref);
    const tlb = F.deviceTlb.load(machine.mem, this.#context.stateOf(fn));
    if (tlb !== 0) new DeviceTlb(machine, tlb).moveTo(this.of(fn));
    if (former !== 0) new IommuDomain(machine, map, former).countDevice(-1);
  }

  /**
   * Attaches all functions of a function's group to a domain; `null` is their default domain.
   * @kernel iommu_attach_group, iommu_detach_group
   * @throws KernelError EBUSY when one of them is attached to a domain that somebody else brought
   */
  attachGroup(fn: TopologyFunction, domain: IommuDomain | null): void {
    const { machine } = this.#context;
    const functions = this.#groupOf(fn);
    const blocked = D.blocked.load(machine.mem, this.#p);
    for (const other of functions) {
      const attached = F.domain.load(machine.mem, this.#context.stateOf(other));
      if (domain === null || attached === 0 || attached === blocked || attached === domain.ref) continue;
      throw new KernelError('EBUSY', 'iommu_attach_group', `${other.bdf} is attached to domain ${attached}`);
    }
    for (const other of functions) this.attach(other, domain);
  }

  /** The domain that lets nothing pass. */
  blocked(): IommuDomain {
    return this.#shared(D.blocked, 'blocked');
  }

  /** The domain that passes every address as it is. */
  identity(): IommuDomain {
    return this.#shared(D.identity, 'identity');
  }

  /** Makes a function's default domain if there is none yet. @throws KernelError ENOMEM, EINVAL */
  makeDefault(fn: TopologyFunction): void {
    this.#defaultOf(fn);
  }

  #openDefault(fn: TopologyFunction): IommuDomain {
    const { machine, map } = this.#context;
    const domain = this.#defaultOf(fn);
    const handle = this.#defaultHandles.get(domain) ?? new IommuDomain(machine, map, domain);
    this.#defaultHandles.set(domain, handle);
    return (this.#defaults[fn.index] = handle);
  }

  /** The slot of a function's default domain, noted with the first function of its group and then with itself. */
  #defaultOf(fn: TopologyFunction): number {
    const { machine } = this.#context;
    const p = this.#context.stateOf(fn);
    const known = F.defaultDomain.load(machine.mem, p);
    if (known !== 0) return known;
    const domain = this.#context.groupOf(fn).length === 0 ? this.identity().ref : this.#defaultOfGroup(fn);
    F.defaultDomain.store(machine.mem, p, domain);
    return domain;
  }

  #defaultOfGroup(fn: TopologyFunction): number {
    const { machine, map, strict, flushQueue, iotlb, pgsizeBitmap, cpu } = this.#context;
    const group = this.#context.groupOf(fn);
    const first = group[0]!;
    const p = this.#context.stateOf(first);
    const made = F.defaultDomain.load(machine.mem, p);
    if (made !== 0) return made;
    const domain = IommuDomain.create(machine, map, {
      type: strict || group.some((other) => this.#isUntrusted(other)) ? 'dma' : 'dma-fq',
      flushQueue,
      iotlb,
      pgsizeBitmap,
      owner: first.index,
      reserved: reservedIovas(first.hostBridge, cpu),
    });
    return publish(domain, F.defaultDomain.cas(machine.mem, p, 0, domain.ref));
  }

  #groupOf(fn: TopologyFunction): readonly TopologyFunction[] {
    const group = this.#context.groupOf(fn);
    return group.length === 0 ? [fn] : group;
  }

  /** @kernel iommu_get_default_domain_type */
  #isUntrusted(fn: TopologyFunction): boolean {
    return (F.flags.load(this.#context.machine.mem, this.#context.stateOf(fn)) & FunctionFlag.UNTRUSTED) !== 0;
  }

  #shared(field: typeof D.blocked, type: 'blocked' | 'identity'): IommuDomain {
    const { machine, map } = this.#context;
    const made = field.load(machine.mem, this.#p);
    if (made !== 0) return new IommuDomain(machine, map, made);
    const domain = IommuDomain.create(machine, map, { type });
    return new IommuDomain(machine, map, publish(domain, field.cas(machine.mem, this.#p, 0, domain.ref)));
  }
}

/** A new domain is the one to use, unless another thread was faster. Without a lock, so that no death can be in the way. */
function publish(made: IommuDomain, other: number): number {
  if (other === 0) return made.ref;
  made.destroy();
  return other;
}
