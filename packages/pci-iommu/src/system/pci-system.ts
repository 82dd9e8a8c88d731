import { Device, noteFileHolder } from '@dmabuf-emu/core';
import { atomicAdd, KernelError, type Machine, UsageError } from '@dmabuf-emu/shm';
import { CapId, PciCommand } from '../config-space/index.ts';
import { configSpaceAt, FunctionStruct, functionStates } from '../config-space/function-state.ts';
import { type DmaBus, FaultLog, GrantTable, headerWords, type PacketHeader, Router } from '../dma/index.ts';
import { acsStateOf, type IommuGroup, iommuGroups, type KernelAcs } from '../groups/index.ts';
import {
  DeviceTlb,
  FaultRing,
  type DomainOptions,
  installFlushTimer,
  installTrimTimers,
  IommuDomain,
  type PageFaultGroup,
  PageRequestQueue,
  type PageResponse,
} from '../iommu/index.ts';
import { DomainStruct } from '../iommu/domain-struct.ts';
import { InterruptController } from '../interrupts/index.ts';
import {
  layOutMemory,
  type PatternMismatch,
  type PatternRange,
  PatternTable,
  PhysicalMemory,
  RunList,
} from '../memory/index.ts';
import { ACS_REDIRECT_MASK, type HostBridge, Topology, type TopologyFunction } from '../topology/index.ts';
import { DmaOwnership } from './dma-ownership.ts';
import { Domains } from './domains.ts';
import { liveRegisters } from './live-registers.ts';
import { loadConfig, type PciConfig, type PciOptions, resolvePciOptions, storeConfig } from './options.ts';
import { P2pState } from './p2p-state.ts';
import { PciFunction } from './pci-function.ts';
import { reapPci } from './reap.ts';
import { verifyPci } from './verify.ts';
import { virtualStateOf } from './virtual-state.ts';

const KEY = Symbol('pci.system');
const F = FunctionStruct;
/** Asked for at every access: a struct with so many fields is slow to look a field up in. */
const ACCESS = F.access;
const DEVICE_TLB = F.deviceTlb;

/**
 * The PCI side of a machine, seen by one thread: topology, physical memory, IOMMU, functions. Everything that changes is in
 * the arena; every thread that joined the machine gets its own `PciSystem` over it with {@link PciSystem.of}.
 *
 * @example
 * PciSystem.create(machine, { topology: 'genoa-4gpu' });
 * // on any thread:
 * const pci = PciSystem.of(machine);
 * const nic = pci.function('81:00.0');
 * const page = pci.memory.allocPages(1);
 * const iova = nic.iommu.iovaAlloc(4096);
 * nic.iommu.map(iova, page, 4096, IommuProt.READ | IommuProt.WRITE);
 * nic.dma.write(iova, bytes);
 */
export class PciSystem implements DmaBus {
  readonly machine: Machine;
  readonly config: PciConfig;
  readonly topology: Topology;
  readonly memory: PhysicalMemory;
  readonly faults: FaultLog;
  /** Live mappings of peer memory, filled by the mapping helper. */
  readonly grants: GrantTable;
  readonly router: Router;
  readonly patterns: PatternTable;
  readonly domains: Domains;
  readonly interrupts: InterruptController;
  readonly p2p: P2pState;
  /** All functions, bridges too; `functions[i].index === i`. */
  readonly functions: readonly PciFunction[];
  readonly checks: boolean;
  readonly #routeEpoch: number;
  readonly #deviceTlbs: DeviceTlb[] = [];
  readonly #pageRequests: PageRequestQueue[] = [];
  readonly #faultRings: FaultRing[] = [];
  readonly #states: number;
  #groups: readonly IommuGroup[] | null = null;
  #groupByFunction: Map<TopologyFunction, IommuGroup> | null = null;
  #owners: DmaOwnership | null = null;

  private constructor(machine: Machine, config: PciConfig) {
    this.machine = machine;
    this.config = config;
    this.checks = config.checks;
    this.topology = new Topology(config.topology);
    this.#states = functionStates(machine, this.topology.functions.length);
    this.memory = new PhysicalMemory(machine, layOutMemory(this.topology, config.ramBytes), config.backingBytes);
    this.faults = new FaultLog(machine);
    this.grants = new GrantTable(machine, this.topology.functions.length);
    this.patterns = new PatternTable(machine);
    this.#routeEpoch = machine.root('pci.route-epoch', 16);
    this.interrupts = new InterruptController(machine);
    this.domains = new Domains({
      machine,
      map: this.memory.map,
      cpu: config.topology.cpu,
      strict: config.strict,
      flushQueue: config.flushQueue,
      iotlb: config.iotlb,
      pgsizeBitmap: config.pgsizeBitmap,
      stateOf: (fn) => this.stateOf(fn),
      groupOf: (fn) => this.groupOf(fn)?.functions ?? [],
    });
    this.router = new Router(
      this.topology,
      liveRegisters(
        machine,
        (fn) => this.stateOf(fn),
        (fn) => this.registersAt(fn),
        (fn) => this.functions[fn.index]!.config,
      ),
      () => machine.mem.i32[this.#routeEpoch]!,
    );
    const redirects = (fn: TopologyFunction): boolean =>
      (F.acsControl.load(machine.mem, this.stateOf(fn)) & ACS_REDIRECT_MASK) !== 0;
    this.p2p = new P2pState(machine, this.topology, { redirects }, (fn) => this.stateOf(fn));
    this.functions = this.topology.functions.map(
      (fn) => new PciFunction(this, fn, this.stateOf(fn), this.#isAloneOnBus(fn)),
    );
    for (const fn of this.functions) fn.watchTable();
    installFlushTimer(machine);
    noteFileHolder(machine, 'pci.errors', () => this.#errorFiles());
    installTrimTimers(machine);
    machine.onVerify('pci-iommu', (report) => verifyPci(this, report));
    machine.onReap('pci-iommu', (task) => reapPci(this, task));
    machine.onLeave('pci-iommu', () => reapPci(this, machine.tid));
  }

  /**
   * Gives a machine its PCI side. Once per machine; other threads then use {@link of}.
   * @throws UsageError when it has one already; TopologyError for a bad description; KernelError ENOMEM, EINVAL
   */
  static create(machine: Machine, options: PciOptions): PciSystem {
    if (loadConfig(machine) !== null) throw new UsageError('this machine has a PCI side already: use PciSystem.of');
    const config = resolvePciOptions(machine, options);
    const system = new PciSystem(machine, config);
    storeConfig(machine, config);
    const acs = acsStateOf(system.topology, config);
    for (const fn of system.functions) system.#powerOn(fn, acs);
    for (const fn of system.functions) fn.interrupts.wasReset();
    // Isolating a function must not fail for want of memory.
    system.domains.blocked();
    return machine.local(KEY, () => system);
  }

  /** The PCI side of a machine, in the calling thread. @throws UsageError when it has none */
  static of(machine: Machine): PciSystem {
    return machine.local(KEY, () => {
      const config = loadConfig(machine);
      if (config === null) throw new UsageError('this machine has no PCI side: call PciSystem.create first');
      return new PciSystem(machine, config);
    });
  }

  /** The function of this name; the domain may be left out (0). @throws TopologyError naming the nearest ones */
  function(bdf: string): PciFunction {
    return this.functions[this.topology.function(bdf).index]!;
  }

  /** The function behind a device; `null` for a device that is not on PCI. */
  functionOfDevice(device: Device): PciFunction | null {
    return device.kind === 'pci' ? (this.functions[device.busIndex] ?? null) : null;
  }

  /** The groups of functions that the IOMMU cannot keep apart, as ACS was set up at boot; none without an IOMMU. */
  get groups(): readonly IommuGroup[] {
    return (this.#groups ??= iommuGroups(this.topology, this.config));
  }

  /** The group of a function; `null` when no IOMMU sees it. @kernel iommu_group_get */
  groupOf(fn: TopologyFunction): IommuGroup | null {
    this.#groupByFunction ??= new Map(this.groups.flatMap((group) => group.functions.map((of) => [of, group])));
    return this.#groupByFunction.get(fn) ?? null;
  }

  /** Who has the DMA of which group: drivers bind, users such as VFIO claim. */
  get owners(): DmaOwnership {
    return (this.#owners ??= new DmaOwnership({
      machine: this.machine,
      groups: this.groups,
      groupOf: (fn) => this.groupOf(fn),
      hasDefaultDomain: (fn) =>
        F.domain.load(this.machine.mem, this.stateOf(fn)) === 0 || this.functions[fn.index]!.isAttachDeferred,
      block: (fn, on) => this.domains.attachGroup(fn, on ? this.domains.blocked() : null),
    }));
  }

  /** A domain for somebody who fills it by himself. @kernel iommu_paging_domain_alloc @throws KernelError ENOMEM, EINVAL */
  createDomain(options: Partial<DomainOptions> = {}): IommuDomain {
    return IommuDomain.create(this.machine, this.memory.map, {
      type: 'unmanaged',
      iotlb: this.config.iotlb,
      pgsizeBitmap: this.config.pgsizeBitmap,
      ...options,
    });
  }

  /** Invalidates everything in the IOTLBs of all domains, and in what functions keep of them. */
  flushIotlbs(): void {
    const slab = this.machine.slab(DomainStruct);
    for (const ref of slab.live()) {
      if (slab.tryAt(ref) !== 0) new IommuDomain(this.machine, this.memory.map, ref).iotlb?.invalidateGlobally();
    }
  }

  /** Takes a function out of service whose engine died in the middle of something: it is removed and its domain blocked. */
  isolate(fn: PciFunction): void {
    fn.surpriseRemove();
  }

  /** An exporter begins to take a buffer back: `DmaBuf.invalidateMappings` follows. Returns the number of grants. */
  grantInvalidate(dmabuf: number): number {
    return this.grants.invalidate(dmabuf);
  }

  /** The fences of a buffer that was taken back have signalled: its old mappings must not be used any more. */
  grantRetire(dmabuf: number): number {
    return this.grants.retire(dmabuf);
  }

  /** Compares a physical range with the pattern of part of a buffer; `null` when it is right. @throws KernelError EFAULT */
  patternAt(paddr: number, length: number, range: PatternRange): PatternMismatch | null {
    const runs = new RunList();
    const resolved = this.memory.resolve(runs, paddr, length, false);
    if (resolved === length) return this.patterns.check(runs, range);
    throw new KernelError('EFAULT', 'phys_access', `no memory at 0x${(paddr + resolved).toString(16)}`);
  }

  accessOf(fn: TopologyFunction): number {
    return ACCESS.get(this.machine.mem, this.stateOf(fn));
  }

  domainOf(fn: TopologyFunction): IommuDomain {
    return this.domains.of(fn);
  }

  blockedDomain(): IommuDomain {
    return this.domains.blocked();
  }

  expressRegister(fn: TopologyFunction, offset: number): number {
    const { config } = this.functions[fn.index]!;
    const at = config.capabilityAt(CapId.EXP);
    return at === 0 ? 0 : config.peek(at + offset, 4);
  }

  deviceTlbOf(fn: TopologyFunction): DeviceTlb | null {
    const tlb = DEVICE_TLB.get(this.machine.mem, this.stateOf(fn));
    if (tlb === 0) return null;
    const known = this.#deviceTlbs[fn.index];
    if (known?.ref === tlb) return known;
    return (this.#deviceTlbs[fn.index] = new DeviceTlb(this.machine, tlb));
  }

  /** Where the IOMMU of a host bridge notes the pages that functions below ask for. */
  pageRequests(bridge: HostBridge): PageRequestQueue {
    return (this.#pageRequests[bridge.index] ??= new PageRequestQueue(this.machine, bridge.index));
  }

  /** The fault recording registers of the IOMMU of a host bridge. */
  faultRing(bridge: HostBridge): FaultRing {
    return (this.#faultRings[bridge.index] ??= new FaultRing(this.machine, bridge.index));
  }

  faultRingOf(fn: TopologyFunction): FaultRing {
    return this.faultRing(fn.hostBridge);
  }

  requestPages(fn: TopologyFunction, group: PageFaultGroup): PageResponse | null {
    return this.functions[fn.index]!.pri.request(group);
  }

  trustsTranslated(fn: TopologyFunction): boolean {
    return fn.description.ats === true;
  }

  reportError(fn: TopologyFunction, bits: number, packet?: PacketHeader): void {
    this.functions[fn.index]!.config.reportError(bits, packet === undefined ? [] : headerWords(packet));
    const word = this.stateOf(fn) + F.errorFile.at;
    if (this.machine.mem.i32[word] !== 0) this.interrupts.tell(word);
    if (!this.config.fatalErrors) return;
    this.machine.diag.bug('machine-check', `${fn.bdf} reports an uncorrectable error: 0x${bits.toString(16)}`);
  }

  /** Routes are built anew: ACS control, or a bridge’s windows, buses, command or power state changed. */
  routesChanged(): void {
    atomicAdd(this.machine.mem, this.#routeEpoch, 1);
  }

  /** Holds everything below a bridge in reset, or lets it go: the bridge's bus reset bit. @kernel pci_reset_secondary_bus */
  resetBelow(bridge: PciFunction, on: boolean): void {
    for (const fn of this.functions) {
      if (!this.topology.pathToRoot(fn.topology).includes(bridge.topology) || fn === bridge) continue;
      if (on) fn.reset.begin();
      else fn.reset.end();
    }
  }

  /** Virtual functions come and go as the SR-IOV capability of their physical function says. */
  switchVirtualFunctions(physfn: PciFunction): void {
    for (const fn of this.topology.virtualFunctions(physfn.topology)) {
      this.functions[fn.index]!.setVirtualState(virtualStateOf(physfn, fn));
    }
  }

  /** Word where a function's configuration space begins. */
  registersAt(fn: TopologyFunction): number {
    return configSpaceAt(this.machine, this.topology.functions.length, fn.index);
  }

  /** Word of a function's state. */
  stateOf(fn: TopologyFunction): number {
    return this.#states + fn.index * F.$words;
  }

  /** Registers as firmware and kernel leave them, and the device that drivers bind to. */
  #powerOn(fn: PciFunction, acs: KernelAcs): void {
    const { config } = this;
    const described = fn.topology.description.command ?? PciCommand.MEMORY | PciCommand.MASTER;
    const command = config.commandAsDescribed ? described : described | PciCommand.MEMORY | PciCommand.MASTER;
    fn.config.initialise(command, acs.control(fn.topology)?.value ?? null);
    const device = Device.register(this.machine, {
      name: fn.bdf,
      kind: 'pci',
      busIndex: fn.index,
      dmaMask: config.dmaMask,
    });
    F.device.store(this.machine.mem, this.stateOf(fn.topology), device.ref);
    if (config.forcedac) fn.prefers32Bit = false;
    if (config.deferredAttach && config.iommu) fn.deferAttach();
    if (config.untrusted.some((bdf) => this.topology.find(bdf) === fn.topology)) fn.untrusted = true;
  }

  *#errorFiles(): Generator<number> {
    for (const { topology } of this.functions) {
      const file = F.errorFile.load(this.machine.mem, this.stateOf(topology));
      if (file !== 0) yield file;
    }
  }

  #isAloneOnBus(fn: TopologyFunction): boolean {
    const bridge = this.topology.upstreamBridge(fn);
    return bridge !== null && !fn.isVirtualFunction && this.topology.children(bridge).length === 1;
  }
}
