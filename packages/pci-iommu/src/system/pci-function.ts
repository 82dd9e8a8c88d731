import { Device, type File } from '@dmabuf-emu/core';
import { isKernelError, type Machine } from '@dmabuf-emu/shm';
import { Access, ConfigSpace, FunctionFlag, FunctionReset } from '../config-space/index.ts';
import { FunctionStruct, VirtualState } from '../config-space/function-state.ts';
import { DmaPort } from '../dma/index.ts';
import type { IommuGroup } from '../groups/index.ts';
import { disableAts, enableAts } from '../iommu/ats/function-ats.ts';
import { type DeviceTlb, type DmaDevice, FunctionPri, type IommuDomain } from '../iommu/index.ts';
import { FunctionInterrupts, MESSAGE_BYTES } from '../interrupts/index.ts';
import {
  type AcsRegisters,
  type BarDescription,
  type FunctionKind,
  type HostWindowDescription,
  isDecodedMemory,
  type TopologyFunction,
} from '../topology/index.ts';
import type { PciSystem } from './pci-system.ts';

const F = FunctionStruct;

/** A base address register as drivers see it. @kernel pci_resource_start, pci_resource_len, pci_resource_flags */
export interface Bar {
  readonly index: number;
  /** Physical address. */
  readonly start: number;
  readonly size: number;
  /** Address that peers on the bus use. @kernel pci_bus_address */
  readonly busAddress: number;
  /** Memory with an address; not I/O, not unassigned. */
  readonly isMemory: boolean;
  readonly prefetchable: boolean;
}

/**
 * One PCI function of a running machine, seen by one thread: its registers, its way to memory, its place in the kernel.
 * Made by `PciSystem`; compare by identity within a thread, by {@link index} between threads.
 *
 * @kernel struct pci_dev
 */
export class PciFunction implements DmaDevice {
  readonly system: PciSystem;
  readonly machine: Machine;
  readonly topology: TopologyFunction;
  /** Index among all functions of the machine. */
  readonly index: number;
  readonly bdf: string;
  readonly bars: readonly Bar[];
  readonly config: ConfigSpace;
  readonly reset: FunctionReset;
  /** The function's way to memory: what an engine of this device uses. */
  readonly dma: DmaPort;
  /** Its requests for pages that are not present: with ATS, and code behind `IommuDomain.onPageFault`. */
  readonly pri: FunctionPri;
  readonly coherent = true;
  #interrupts: FunctionInterrupts | null = null;
  readonly busDmaLimit = 0;
  readonly #p: number;

  constructor(system: PciSystem, topology: TopologyFunction, p: number, isAloneOnBus: boolean) {
    const { machine } = system;
    this.system = system;
    this.machine = machine;
    this.topology = topology;
    this.index = topology.index;
    this.bdf = topology.bdf;
    this.#p = p;
    this.bars = topology.bars.map((bar) => describeBar(topology, bar));
    this.config = new ConfigSpace(machine, topology, p, system.registersAt(topology), {
      routesChanged: () => system.routesChanged(),
      flr: () => this.reset.functionLevelReset(),
      busReset: (on) => system.resetBelow(this, on),
      sriovChanged: () => system.switchVirtualFunctions(this),
      interruptsChanged: () => this.interrupts.source.flush(),
      cleared: () => this.interrupts.wasReset(),
      restored: () => this.interrupts.program(),
    });
    const flr = topology.description.flr ? (['flr'] as const) : [];
    this.reset = new FunctionReset(machine, this.config, p, [...flr, ...(isAloneOnBus ? (['bus'] as const) : [])]);
    this.dma = new DmaPort(system, topology);
    this.pri = new FunctionPri(machine, this.bdf, this.config, system.pageRequests(topology.hostBridge), () =>
      F.deviceTlb.load(machine.mem, p),
    );
  }

  /** `null` when the machine description does not know it. */
  get vendorId(): number | null {
    return this.topology.vendor;
  }

  /** `null` when the machine description does not know it. */
  get deviceId(): number | null {
    return this.topology.device;
  }

  get kind(): FunctionKind {
    return this.topology.kind;
  }

  /** The BAR whose first register is `index`, if implemented. */
  bar(index: number): Bar | undefined {
    return this.bars.find((bar) => bar.index === index);
  }

  /** The device that drivers and dma-bufs know; bridges have one too. */
  get device(): Device {
    return Device.byRef(this.machine, F.device.load(this.machine.mem, this.#p));
  }

  /** ACS registers at this moment; `null` without the capability. */
  get acs(): AcsRegisters | null {
    const { acs } = this.topology;
    return acs === null || acs === 'unknown' ? null : { cap: acs.cap, ctrl: this.config.acsControl };
  }

  /** The domain that the function is attached to. */
  get iommu(): IommuDomain {
    return this.system.domainOf(this.topology);
  }

  /**
   * Attaches the function to a domain of somebody's own, or, with `null`, to its default domain again.
   * @kernel iommu_attach_device, iommu_detach_device
   */
  attachDomain(domain: IommuDomain | null): void {
    this.system.domains.attach(this.topology, domain);
  }

  /**
   * Attaches the functions of this one's group to a domain, or, with `null`, to their default domain again.
   * @kernel iommu_attach_group, iommu_detach_group
   * @throws KernelError EBUSY when one of them is attached to a domain that somebody else brought
   */
  attachGroup(domain: IommuDomain | null): void {
    this.system.domains.attachGroup(this.topology, domain);
  }

  /** The functions that the IOMMU cannot keep apart from this one, it too; `null` when no IOMMU sees it. */
  get iommuGroup(): IommuGroup | null {
    return this.system.groupOf(this.topology);
  }

  /** Attaches the function to the domain that lets nothing pass. */
  block(): void {
    this.attachDomain(this.system.domains.blocked());
  }

  /** The function's interrupts: what a driver and an engine of this device use. */
  get interrupts(): FunctionInterrupts {
    if (this.#interrupts !== null) return this.#interrupts;
    const messages = new DmaPort(this.system, this.topology);
    return (this.#interrupts = new FunctionInterrupts({
      controller: this.system.interrupts,
      memory: this.system.memory,
      config: this.config,
      p: this.#p,
      // A port of its own: an interrupt may be sent while the other one is in the middle of an access.
      send: (address, data) => messages.tryWrite(address, littleEndian(data)) === MESSAGE_BYTES,
    }));
  }

  /** Has an eventfd told of uncorrectable errors, or none. @kernel pci_error_handlers.error_detected */
  notifyErrors(eventfd: File | null): void {
    this.system.interrupts.setEventFd(this.#p + F.errorFile.at, eventfd);
  }

  /** Whether an eventfd is told of errors. */
  get notifiesErrors(): boolean {
    return F.errorFile.load(this.machine.mem, this.#p) !== 0;
  }

  /** Signals the eventfd of {@link notifyErrors} as if there had been an error; false without one. */
  signalErrors(): boolean {
    return this.system.interrupts.tell(this.#p + F.errorFile.at);
  }

  /** Notices what processors and devices write to the table of MSI-X vectors. */
  watchTable(): void {
    if (this.topology.description.msix === undefined && this.topology.description.config === undefined) return;
    const { msix } = this.interrupts.source;
    if (msix !== null) this.system.memory.watch(msix.start, msix.end, () => this.interrupts.source.flush());
  }

  /**
   * Lets the function keep translations, which {@link deviceTlb} shows. Nothing of it may be accessing memory.
   * @param pageShift - bits of the smallest translation
   * @kernel pci_enable_ats
   * @throws KernelError EINVAL without the capability, for an untrusted function and for pages below 4 KiB; EBUSY when it is on;
   * ENOMEM
   */
  enableAts(pageShift = 12): void {
    enableAts(this, this.#p, pageShift);
  }

  /** Ends {@link enableAts}. @kernel pci_disable_ats */
  disableAts(): void {
    this.pri.disable();
    disableAts(this, this.#p);
  }

  /** What the function keeps of translations; `null` while ATS is off. */
  get deviceTlb(): DeviceTlb | null {
    return this.system.deviceTlbOf(this.topology);
  }

  /** Whether the function is there: not pulled out, and, if virtual, enabled. */
  get alive(): boolean {
    return (F.access.load(this.machine.mem, this.#p) & Access.REMOVED) === 0;
  }

  /** The physical function switched this virtual one: bits of `VirtualState`. One that begins to exist comes out of a reset. */
  setVirtualState(bits: number): void {
    const { mem } = this.machine;
    if (F.virtualState.load(mem, this.#p) === bits) return;
    this.config.change(() => {
      const before = F.virtualState.exchange(mem, this.#p, bits);
      if ((before & ~bits & VirtualState.DISABLED) !== 0) this.config.clearForReset();
    });
  }

  /** Pulls the function out: it answers nothing and does no DMA from now on. @kernel pci_channel_io_perm_failure */
  surpriseRemove(): void {
    this.config.change(() => F.removed.store(this.machine.mem, this.#p, 1));
    this.deviceTlb?.pulledOut();
    this.block();
  }

  get dmaMask(): number {
    return this.device.dmaMask;
  }

  get dmaRanges(): readonly HostWindowDescription[] {
    return this.topology.hostBridge.dmaRanges;
  }

  /** Whether the function reaches nothing until it is first used by the DMA API. @kernel is_attach_deferred */
  get isAttachDeferred(): boolean {
    return this.#flag(FunctionFlag.ATTACH_DEFERRED);
  }

  /** Puts attaching off: until then the function is blocked. */
  deferAttach(): void {
    this.block();
    this.#setFlag(FunctionFlag.ATTACH_DEFERRED, true);
  }

  attachDeferred(): boolean {
    if (!this.isAttachDeferred) return true;
    try {
      this.system.domains.makeDefault(this.topology);
    } catch (error) {
      if (isKernelError(error)) return false;
      throw error;
    }
    // Whoever finds the flag gone may use the domain.
    this.attachDomain(null);
    this.#setFlag(FunctionFlag.ATTACH_DEFERRED, false);
    return true;
  }

  get untrusted(): boolean {
    return this.#flag(FunctionFlag.UNTRUSTED);
  }

  set untrusted(on: boolean) {
    this.#setFlag(FunctionFlag.UNTRUSTED, on);
  }

  get forceBounce(): boolean {
    return this.#flag(FunctionFlag.FORCE_BOUNCE);
  }

  set forceBounce(on: boolean) {
    this.#setFlag(FunctionFlag.FORCE_BOUNCE, on);
  }

  get prefers32Bit(): boolean {
    return !this.#flag(FunctionFlag.WIDE_ADDRESSES);
  }

  set prefers32Bit(on: boolean) {
    this.#setFlag(FunctionFlag.WIDE_ADDRESSES, !on);
  }

  toString(): string {
    return this.bdf;
  }

  #flag(bit: number): boolean {
    return (F.flags.load(this.machine.mem, this.#p) & bit) !== 0;
  }

  #setFlag(bit: number, on: boolean): void {
    if (on) F.flags.or(this.machine.mem, this.#p, bit);
    else F.flags.and(this.machine.mem, this.#p, ~bit);
  }
}

function littleEndian(value: number): Uint8Array {
  return Uint8Array.from({ length: MESSAGE_BYTES }, (_, i) => value >>> (8 * i));
}

function describeBar(fn: TopologyFunction, bar: BarDescription): Bar {
  const isMemory = isDecodedMemory(bar);
  const busAddress = bar.start + (bar.kind === 'io' ? 0 : fn.hostBridge.busOffsetAt(bar.start));
  return { index: bar.index, start: bar.start, size: bar.size, busAddress, isMemory, prefetchable: bar.prefetchable };
}
