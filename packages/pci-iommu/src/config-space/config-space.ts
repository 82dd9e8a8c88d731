import { KernelError, type Machine } from '@dmabuf-emu/shm';
import { AcsBit, type TopologyFunction } from '../topology/index.ts';
import { accessSummary } from './access-summary.ts';
import { BridgeRegisters } from './bridge-registers.ts';
import type { ConfigHooks } from './config-hooks.ts';
import { type Capabilities, type DerivedLayout, deriveLayout } from './derived-layout.ts';
import { FunctionRegisters } from './function-registers.ts';
import { Access, changeRegisters, FunctionStruct } from './function-state.ts';
import type { ConfigLayout } from './layout/config-layout.ts';
import type { RegisterEffect } from './register-effects.ts';
import {
  ACS_CAP,
  ACS_EGRESS_VECTOR,
  AF_CTRL_FLR,
  AerBit,
  CapId,
  CONFIG_BYTES,
  CONFIG_BYTES_CONVENTIONAL,
  EXP_DEVCTL_FLR,
  EXP_DEVSTA_UNSUPPORTED,
  MsiFlag,
  MsixFlag,
  PciCommand,
  PM_CTRL,
  PM_CTRL_NO_SOFT_RESET,
  PM_CTRL_STATE_MASK,
  PowerState,
  PriBit,
  Reg,
  SriovBit,
} from './registers.ts';

const F = FunctionStruct;
/** Offsets from the uncorrectable error status: mask, capabilities and control, header log. */
const AER_MASK = 4;
const AER_CONTROL = 20;
const AER_HEADER_LOG = 24;
/** @kernel PCI_ERR_CAP_FEP */
const AER_FIRST_ERROR = 0x1f;
const PMC_D1 = 0x0200_0000;
const PMC_D2 = 0x0400_0000;
/** Of bridges: bus numbers, windows, control. */
const ROUTING_REGISTERS = [0x18, 0x1c, 0x20, 0x24, 0x28, 0x2c, 0x30, 0x3c] as const;

/**
 * Configuration space of one function as the hardware has it: header, BARs or windows, and all capabilities that its
 * description or a dump names, with the bits that can be written. What a VFIO user sees of it is the VFIO exporter's
 * business.
 */
export class ConfigSpace {
  readonly fn: TopologyFunction;
  readonly #machine: Machine;
  readonly #p: number;
  readonly #registers: FunctionRegisters;
  readonly #hooks: ConfigHooks;
  #known: DerivedLayout | null = null;
  #wasCleared = false;

  /**
   * @param p - word of the function's state
   * @param at - word of its registers
   */
  constructor(machine: Machine, fn: TopologyFunction, p: number, at: number, hooks: ConfigHooks) {
    this.fn = fn;
    this.#machine = machine;
    this.#p = p;
    this.#registers = new FunctionRegisters(machine.mem, at);
    this.#hooks = hooks;
  }

  get capabilities(): Capabilities {
    return this.#derived.capabilities;
  }

  /** What the registers are at start, and which of their bits can be written. */
  get layout(): ConfigLayout {
    return this.#derived.layout;
  }

  /** Bytes of configuration space. */
  get size(): number {
    return this.fn.pcieType === null ? CONFIG_BYTES_CONVENTIONAL : CONFIG_BYTES;
  }

  /**
   * Puts registers into the state that firmware and kernel leave behind: awake, and without the interrupts that somebody had
   * enabled when a dump was made. @param acsControl - `null` without
   */
  initialise(command: number, acsControl: number | null): void {
    const { layout, acs, pmControl } = this.#derived;
    this.change(() => {
      this.#registers.load(layout.bytes);
      const kept = this.fn.isVirtualFunction ? command & PciCommand.MASTER : command;
      this.#registers.replace(Reg.COMMAND, 0xffff, kept);
      if (acs !== 0) this.#registers.replace(acs, -0x1_0000, (acsControl ?? 0) << 16);
      if (pmControl !== 0) this.#registers.replace(pmControl, PM_CTRL_STATE_MASK, PowerState.D0);
      const [msi, msix] = [this.capabilityAt(CapId.MSI), this.capabilityAt(CapId.MSIX)];
      if (msi !== 0) this.#registers.replace(msi, MsiFlag.ENABLE << 16, 0);
      if (msix !== 0) this.#registers.replace(msix, (MsixFlag.ENABLE | MsixFlag.MASK_ALL) << 16, 0);
    });
  }

  /** What a register is at start: right at any time for one that cannot be written. */
  initial(offset: number, size: 1 | 2 | 4): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + (this.layout.bytes[offset + i] ?? 0);
    return value;
  }

  /** Offset of a capability by the layout; 0 when the function has none. Answers always, unlike {@link findCapability}. */
  capabilityAt(id: number): number {
    return this.layout.capabilities.find((place) => !place.extended && place.id === id)?.at ?? 0;
  }

  /** Offset of an extended capability by the layout; 0 when the function has none. */
  extCapabilityAt(id: number): number {
    return this.layout.capabilities.find((place) => place.extended && place.id === id)?.at ?? 0;
  }

  /** Offset of a capability in the first 256 bytes; 0 when the function has none. @kernel pci_find_capability */
  findCapability(id: number): number {
    for (let at = this.read(Reg.CAPABILITY_LIST, 1); at !== 0 && at !== 0xff; at = this.read(at + 1, 1)) {
      if (this.read(at, 1) === id) return at;
    }
    return 0;
  }

  /** Offset of an extended capability; 0 when the function has none. @kernel pci_find_ext_capability */
  findExtCapability(id: number): number {
    if (this.size === CONFIG_BYTES_CONVENTIONAL) return 0;
    for (let at = 0x100; at !== 0;) {
      const header = this.read(at, 4);
      if (header === 0 || header === 0xffff_ffff) return 0;
      if ((header & 0xffff) === id) return at;
      at = header >>> 20;
    }
    return 0;
  }

  /**
   * Reads 1, 2 or 4 bytes. A function that is gone or in reset answers all ones.
   * @kernel pci_read_config_byte, pci_read_config_word, pci_read_config_dword
   * @throws KernelError EINVAL for an offset that is not a multiple of `size` or out of range
   */
  read(offset: number, size: 1 | 2 | 4): number {
    this.#check('pci_read_config', offset, size);
    return this.#answers ? this.peek(offset, size) : size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
  }

  /** {@link read} of a register as the function itself has it, whether or not it answers. */
  peek(offset: number, size: 1 | 2 | 4): number {
    return this.#registers.read(offset, size);
  }

  /**
   * Writes 1, 2 or 4 bytes; bits that are read-only stay as they are. Lost when the function is gone or in reset.
   * @kernel pci_write_config_byte, pci_write_config_word, pci_write_config_dword
   * @throws KernelError EINVAL for an offset that is not a multiple of `size` or out of range
   */
  write(offset: number, size: 1 | 2 | 4, value: number): void {
    this.#check('pci_write_config', offset, size);
    if (!this.#answers) return;
    const shift = (offset & 3) * 8;
    const mask = (size === 4 ? -1 : size === 2 ? 0xffff : 0xff) << shift;
    this.#writeWord(offset & ~3, (value << shift) & mask, mask);
  }

  /** Sets and clears bits that only the function itself changes: status, pending bits. By offset of the dword. Returns the old dword. */
  setStatus(offset: number, set: number, clear = 0): number {
    return this.#registers.replace(offset, set | clear, set);
  }

  /** The command register. */
  get command(): number {
    return this.peek(Reg.COMMAND, 2);
  }

  set command(value: number) {
    this.#writeWord(Reg.COMMAND, value & 0xffff, 0xffff);
  }

  /** Whether memory BARs are decoded: by the command register, the power state, no reset being under way. */
  get memoryEnabled(): boolean {
    return (F.access.load(this.#machine.mem, this.#p) & Access.DECODE) !== 0;
  }

  /** Whether the command register lets the function access memory by itself. @kernel pci_set_master, pci_clear_master */
  get busMaster(): boolean {
    return (this.command & PciCommand.MASTER) !== 0;
  }

  set busMaster(on: boolean) {
    this.#writeWord(Reg.COMMAND, on ? PciCommand.MASTER : 0, PciCommand.MASTER);
  }

  /** State by the power management registers; always D0 without the capability. */
  get powerState(): PowerState {
    const { pmControl } = this.#derived;
    return pmControl === 0 ? PowerState.D0 : ((this.peek(pmControl, 2) & PM_CTRL_STATE_MASK) as PowerState);
  }

  set powerState(state: PowerState) {
    const { pmControl } = this.#derived;
    if (pmControl !== 0) this.#writeWord(pmControl, state, PM_CTRL_STATE_MASK);
  }

  /** Going from D3hot to D0 leaves the registers as they are. @kernel PCI_PM_CTRL_NO_SOFT_RESET */
  get keepsRegistersInD3(): boolean {
    const { pmControl } = this.#derived;
    return pmControl === 0 || (this.peek(pmControl, 2) & PM_CTRL_NO_SOFT_RESET) !== 0;
  }

  /** The live ACS control word; 0 without the capability. */
  get acsControl(): number {
    return F.acsControl.load(this.#machine.mem, this.#p);
  }

  set acsControl(value: number) {
    const { acs } = this.#derived;
    if (acs !== 0) this.#writeWord(acs, value << 16, -0x1_0000);
  }

  /** Ports, or functions of the device, that egress control closes: a bit each; 0 without a vector. */
  get egressVector(): number {
    const { acs } = this.#derived;
    const able = acs !== 0 && (this.peek(acs, 2) & AcsBit.EgressControl) !== 0;
    return able ? this.peek(acs + ACS_EGRESS_VECTOR - ACS_CAP, 4) : 0;
  }

  /** The registers that only bridges have. */
  get bridge(): BridgeRegisters {
    return new BridgeRegisters((offset, size) => this.peek(offset, size));
  }

  /** Whether a reset is under way. */
  get inReset(): boolean {
    return F.inReset.load(this.#machine.mem, this.#p) !== 0;
  }

  /** Uncorrectable errors noted since they were cleared: bits of `AerBit`; 0 without error reporting. */
  get aerStatus(): number {
    const { aerStatus } = this.#derived;
    return aerStatus === 0 ? 0 : this.peek(aerStatus, 4);
  }

  /**
   * Notes an uncorrectable error, as hardware does.
   * @param header - of the packet that it is about: kept with the first error that is not masked
   */
  reportError(bits: number, header: readonly number[] = []): void {
    const { aerStatus, deviceControl } = this.#derived;
    if (aerStatus !== 0) {
      const heard = ~this.peek(aerStatus + AER_MASK, 4);
      const before = this.#registers.set(aerStatus, bits);
      if ((before & heard) === 0 && (bits & heard) !== 0) {
        this.#registers.replace(aerStatus + AER_CONTROL, AER_FIRST_ERROR, 31 - Math.clz32(bits & heard));
        header.forEach((word, i) => this.#registers.replace(aerStatus + AER_HEADER_LOG + 4 * i, -1, word));
      }
    }
    if (deviceControl === 0 || (bits & AerBit.UNSUPPORTED_REQUEST) === 0) return;
    this.#registers.set(deviceControl, EXP_DEVSTA_UNSUPPORTED << 16);
  }

  /** Clears every register that a reset clears. The caller changes registers. */
  clearForReset(): void {
    const { layout, pmControl } = this.#derived;
    const { mem } = this.#machine;
    for (const [offset, mask] of layout.writable) this.#registers.replace(offset, mask, 0);
    for (const [offset, mask] of layout.clearable) this.#registers.replace(offset, mask, 0);
    if (pmControl !== 0) this.#registers.replace(pmControl, PM_CTRL_STATE_MASK, 0);
    F.intx.store(mem, this.#p, 0);
    this.#wasCleared = true;
  }

  /** Registers that software saves before a reset: offsets of dwords. */
  get savedRegisters(): readonly number[] {
    return [...this.layout.writable.keys()].toSorted((a, b) => a - b);
  }

  /** Puts a saved register back. The caller changes registers. */
  restore(offset: number, value: number): void {
    this.#registers.replace(offset, this.layout.writable.get(offset) ?? 0, value);
  }

  /** Everything that was saved is back. */
  restored(): void {
    this.#hooks.restored();
  }

  /** Runs `fn`, which changes the function's registers, with the registers locked; then tells what that means for others. */
  change(fn: () => void): void {
    const { mem } = this.#machine;
    const { acs } = this.#derived;
    const [routes, sriov, holds] = [this.#routes, this.#sriovControl, this.#holdsBusInReset];
    this.#wasCleared = false;
    changeRegisters(
      this.#machine,
      this.#p,
      () => accessSummary(this.fn, this.#derived, this.#registers, mem, this.#p),
      () => {
        fn();
        F.acsControl.store(mem, this.#p, acs === 0 ? 0 : this.peek(acs + 2, 2));
      },
    );
    if (this.#routes !== routes) this.#hooks.routesChanged();
    if (this.#sriovControl !== sriov) this.#hooks.sriovChanged();
    if (this.#holdsBusInReset !== holds) this.#hooks.busReset(!holds);
    if (this.#wasCleared) this.#hooks.cleared();
  }

  /** What packets are routed by, as a text that changes when any of it does. */
  get #routes(): string {
    if (!this.fn.isBridge) return [this.acsControl, this.egressVector].join();
    const registers = ROUTING_REGISTERS.map((offset) => this.peek(offset, 4));
    return [this.acsControl, this.egressVector, F.access.load(this.#machine.mem, this.#p), ...registers].join();
  }

  get #answers(): boolean {
    return (F.access.load(this.#machine.mem, this.#p) & (Access.REMOVED | Access.IN_RESET)) === 0;
  }

  get #holdsBusInReset(): boolean {
    return this.fn.isBridge && this.bridge.holdsBusInReset;
  }

  get #sriovControl(): number {
    const { sriovControl } = this.#derived;
    return sriovControl === 0 ? 0 : this.peek(sriovControl, 2);
  }

  get #derived(): DerivedLayout {
    return (this.#known ??= deriveLayout(this.fn));
  }

  #writeWord(offset: number, value: number, mask: number): void {
    const { layout, effects } = this.#derived;
    const effect = effects.get(offset);
    const writable = mask & (layout.writable.get(offset) ?? 0);
    const cleared = value & mask & (layout.clearable.get(offset) ?? 0);
    let before = 0;
    this.change(() => {
      const bits = this.#allowed(effect, offset, writable, value);
      before = this.#registers.replace(offset, bits | cleared, value & bits & ~cleared);
      if (effect === 'power') this.#wake(before, value & bits, bits);
      if (effect === 'pri') this.#pageRequests(offset, value & mask);
    });
    if (effect !== undefined) this.#act(effect, before, value & mask);
  }

  /** Of the bits that can be written, those that can be at the moment. */
  #allowed(effect: RegisterEffect | undefined, offset: number, writable: number, value: number): number {
    if (effect === 'vf-count' && (this.#sriovControl & SriovBit.ENABLE) !== 0) return writable & -0x1_0000;
    if (effect !== 'power' || (writable & PM_CTRL_STATE_MASK) === 0) return writable;
    const able = this.peek(offset - PM_CTRL, 4);
    const state = value & PM_CTRL_STATE_MASK;
    const refused =
      (state === PowerState.D1 && (able & PMC_D1) === 0) || (state === PowerState.D2 && (able & PMC_D2) === 0);
    return refused ? writable & ~PM_CTRL_STATE_MASK : writable;
  }

  /** A function that loses its registers in D3hot comes back as after a reset. */
  #wake(before: number, value: number, bits: number): void {
    const left = (before & PM_CTRL_STATE_MASK) === PowerState.D3hot;
    const entered = (bits & PM_CTRL_STATE_MASK) !== 0 && (value & PM_CTRL_STATE_MASK) === PowerState.D0;
    if (left && entered && (before & PM_CTRL_NO_SOFT_RESET) === 0) this.clearForReset();
  }

  /** Page requests stop when they are switched off; a reset of the interface, while it is off, forgets its errors. */
  #pageRequests(offset: number, written: number): void {
    const errors = (PriBit.RESPONSE_FAILURE | PriBit.UNEXPECTED_GROUP) << 16;
    const enabled = (this.peek(offset, 2) & PriBit.ENABLE) !== 0;
    const cleared = !enabled && (written & PriBit.RESET) !== 0 ? errors : 0;
    this.setStatus(offset, enabled ? 0 : PriBit.STOPPED << 16, cleared | (enabled ? PriBit.STOPPED << 16 : 0));
  }

  /** What a write does beside changing bits. @param written - the bits written, those of other bytes 0 */
  #act(effect: RegisterEffect, before: number, written: number): void {
    switch (effect) {
      case 'command':
        if ((before & ~this.command & PciCommand.INTX_DISABLE) !== 0) this.#hooks.interruptsChanged();
        return;
      case 'flr':
        if (this.fn.description.flr && (written & EXP_DEVCTL_FLR) !== 0) this.#hooks.flr();
        return;
      case 'af':
        if (this.fn.description.flr && (written & AF_CTRL_FLR) !== 0) this.#hooks.flr();
        return;
      case 'vf-count':
      case 'vf-bar':
        return this.#hooks.sriovChanged();
      case 'msi':
        return this.#hooks.interruptsChanged();
      case 'power':
      case 'acs':
      case 'pri':
      case 'sriov':
        return;
    }
  }

  #check(call: string, offset: number, size: number): void {
    if (Number.isInteger(offset) && offset >= 0 && offset % size === 0 && offset + size <= this.size) return;
    throw new KernelError(
      'EINVAL',
      call,
      `offset 0x${offset.toString(16)}, ${size} bytes; configuration space has ${this.size}, naturally aligned`,
    );
  }
}
