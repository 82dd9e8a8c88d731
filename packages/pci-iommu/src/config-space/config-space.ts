import { KernelError, type Machine } from '@dmabuf-emu/shm';
import type { TopologyFunction } from '../topology/index.ts';
import { Access, changeRegisters, FunctionStruct } from './function-state.ts';
import {
  ACS_CAP,
  AER_UNCORRECTABLE_STATUS,
  CapAt,
  COMMAND_WRITABLE,
  CONFIG_BYTES,
  CONFIG_BYTES_CONVENTIONAL,
  EXP_DEVCTL,
  EXP_DEVCTL_FLR,
  PciCommand,
  PM_CTRL,
  PM_CTRL_NO_SOFT_RESET,
  PM_CTRL_STATE_MASK,
  type PowerState,
  Reg,
  ROM_WRITABLE,
} from './registers.ts';
import {
  ALL_BARS,
  type BarRegister,
  barRegisters,
  type Capabilities,
  capabilitiesOf,
  intactBars,
  staticRegisters,
} from './static-registers.ts';

const F = FunctionStruct;

/** What a {@link ConfigSpace} tells its system. */
export interface ConfigHooks {
  /** ACS control, or what a bridge forwards, changed: routes may be others now. */
  readonly routesChanged: () => void;
  /** The function level reset bit was written. */
  readonly flr: () => void;
}

/**
 * Configuration space of one function as the hardware has it: header, BARs, power management, PCIe, AER, ACS and SR-IOV
 * capabilities. What a VFIO user sees of it is the VFIO exporter's business.
 */
export class ConfigSpace {
  readonly fn: TopologyFunction;
  readonly capabilities: Capabilities;
  readonly #machine: Machine;
  readonly #p: number;
  readonly #fixed: ReadonlyMap<number, number>;
  readonly #bars: readonly (BarRegister | null)[];
  readonly #hooks: ConfigHooks;
  readonly #acsWritable: number;

  /** @param p - word of the function's state */
  constructor(machine: Machine, fn: TopologyFunction, p: number, hooks: ConfigHooks) {
    this.fn = fn;
    this.capabilities = capabilitiesOf(fn);
    this.#machine = machine;
    this.#p = p;
    this.#fixed = staticRegisters(fn);
    this.#bars = barRegisters(fn);
    this.#hooks = hooks;
    this.#acsWritable = fn.acs !== null && fn.acs !== 'unknown' ? fn.acs.cap : 0;
  }

  /** Bytes of configuration space. */
  get size(): number {
    return this.capabilities.exp ? CONFIG_BYTES : CONFIG_BYTES_CONVENTIONAL;
  }

  /** Puts registers into the state that firmware and kernel leave behind. @param acs - ACS control, `null` without */
  initialise(command: number, acs: number | null): void {
    this.change(() => {
      this.#clear(command);
      F.acsControl.set(this.#mem, this.#p, acs ?? 0);
      this.#bars.forEach((bar, i) => F.bars.set(this.#mem, this.#p, i, bar?.value ?? 0));
    });
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
    if (!this.capabilities.exp) return 0;
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
    const access = F.access.load(this.#mem, this.#p);
    const value = (access & (Access.REMOVED | Access.IN_RESET)) !== 0 ? -1 : this.#readWord(offset & ~3);
    const shifted = value >>> ((offset & 3) * 8);
    return size === 4 ? shifted : shifted & (size === 2 ? 0xffff : 0xff);
  }

  /**
   * Writes 1, 2 or 4 bytes; bits that are read-only stay as they are. Lost when the function is gone or in reset.
   * @kernel pci_write_config_byte, pci_write_config_word, pci_write_config_dword
   * @throws KernelError EINVAL for an offset that is not a multiple of `size` or out of range
   */
  write(offset: number, size: 1 | 2 | 4, value: number): void {
    this.#check('pci_write_config', offset, size);
    const access = F.access.load(this.#mem, this.#p);
    if ((access & (Access.REMOVED | Access.IN_RESET)) !== 0) return;
    const shift = (offset & 3) * 8;
    const mask = (size === 4 ? -1 : size === 2 ? 0xffff : 0xff) << shift;
    this.#writeWord(offset & ~3, (value << shift) & mask, mask);
  }

  /** The command register. */
  get command(): number {
    return F.command.load(this.#mem, this.#p);
  }

  set command(value: number) {
    this.#writeWord(Reg.COMMAND, value & 0xffff, 0xffff);
  }

  /** Whether memory BARs are decoded: by the command register, the power state, no reset being under way. */
  get memoryEnabled(): boolean {
    return (F.access.load(this.#mem, this.#p) & Access.DECODE) !== 0;
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
    return (F.pmcsr.load(this.#mem, this.#p) & PM_CTRL_STATE_MASK) as PowerState;
  }

  set powerState(state: PowerState) {
    if (this.capabilities.pm) this.#writeWord(CapAt.PM + PM_CTRL, state, PM_CTRL_STATE_MASK);
  }

  /** The live ACS control word; 0 without the capability. */
  get acsControl(): number {
    return F.acsControl.load(this.#mem, this.#p);
  }

  set acsControl(value: number) {
    this.#writeWord(CapAt.ACS + ACS_CAP, value << 16, -0x1_0000);
  }

  /** Whether a reset is under way. */
  get inReset(): boolean {
    return F.inReset.load(this.#mem, this.#p) !== 0;
  }

  /** Uncorrectable errors noted since they were cleared: bits of `AerBit`. */
  get aerStatus(): number {
    return F.aerStatus.load(this.#mem, this.#p);
  }

  /** Notes an uncorrectable error, as hardware does. */
  reportError(bits: number): void {
    F.aerStatus.or(this.#mem, this.#p, bits);
  }

  /** Clears every register that a reset clears. The caller changes registers. */
  clearForReset(): void {
    this.#clear(0);
    for (let i = 0; i < 6; i++) F.bars.set(this.#mem, this.#p, i, this.#bars[i]?.fixed ?? 0);
    F.aerStatus.store(this.#mem, this.#p, 0);
  }

  /** Runs `fn`, which changes the function's registers, with the registers locked. */
  change(fn: () => void): void {
    const { isVirtualFunction } = this.fn;
    const holds = (i: number): number => F.bars.get(this.#mem, this.#p, i);
    const intact = (): number => (isVirtualFunction ? ALL_BARS : intactBars(this.#bars, holds));
    const before = F.access.load(this.#mem, this.#p);
    changeRegisters(this.#machine, this.#p, isVirtualFunction, intact, fn);
    if (this.fn.isBridge && F.access.load(this.#mem, this.#p) !== before) this.#hooks.routesChanged();
  }

  get #mem(): Machine['mem'] {
    return this.#machine.mem;
  }

  #clear(command: number): void {
    const { pm } = this.capabilities;
    F.command.store(this.#mem, this.#p, this.fn.isVirtualFunction ? command & PciCommand.MASTER : command);
    F.pmcsr.store(this.#mem, this.#p, pm ? PM_CTRL_NO_SOFT_RESET : 0);
    F.deviceControl.set(this.#mem, this.#p, 0);
    F.cacheLine.set(this.#mem, this.#p, 0);
    F.interruptLine.set(this.#mem, this.#p, 0);
    F.rom.set(this.#mem, this.#p, 0);
  }

  #readWord(offset: number): number {
    const [mem, p] = [this.#mem, this.#p];
    const fixed = this.#fixed.get(offset) ?? 0;
    switch (offset) {
      case Reg.COMMAND:
        return fixed | F.command.load(mem, p);
      case Reg.CACHE_LINE:
        return fixed | F.cacheLine.load(mem, p);
      case Reg.INTERRUPT:
        return fixed | F.interruptLine.load(mem, p);
      case Reg.ROM:
        return F.rom.load(mem, p);
      case CapAt.PM + PM_CTRL:
        return this.capabilities.pm ? F.pmcsr.load(mem, p) : 0;
      case CapAt.EXP + EXP_DEVCTL:
        return this.capabilities.exp ? F.deviceControl.load(mem, p) : 0;
      case CapAt.AER + AER_UNCORRECTABLE_STATUS:
        return this.capabilities.exp ? F.aerStatus.load(mem, p) : 0;
      case CapAt.ACS + ACS_CAP:
        return this.capabilities.acs ? fixed | (F.acsControl.load(mem, p) << 16) : 0;
      default:
        return this.#barAt(offset) === null ? fixed : F.bars.get(mem, p, (offset - Reg.BAR_0) >>> 2);
    }
  }

  #writeWord(offset: number, value: number, mask: number): void {
    const [mem, p] = [this.#mem, this.#p];
    const merge = (old: number, writable: number): number => (old & ~(mask & writable)) | (value & mask & writable);
    let reset = false;
    let acs = false;
    this.change(() => {
      switch (offset) {
        case Reg.COMMAND:
          F.command.store(
            mem,
            p,
            merge(F.command.get(mem, p), this.fn.isVirtualFunction ? PciCommand.MASTER : COMMAND_WRITABLE),
          );
          return;
        case Reg.CACHE_LINE:
          F.cacheLine.set(mem, p, merge(F.cacheLine.get(mem, p), 0x0000_ffff));
          return;
        case Reg.INTERRUPT:
          F.interruptLine.set(mem, p, merge(F.interruptLine.get(mem, p), 0xff));
          return;
        case Reg.ROM:
          F.rom.set(mem, p, this.fn.description.rom === undefined ? 0 : merge(F.rom.get(mem, p), ROM_WRITABLE));
          return;
        case CapAt.PM + PM_CTRL:
          if (this.capabilities.pm) F.pmcsr.store(mem, p, merge(F.pmcsr.get(mem, p), PM_CTRL_STATE_MASK | 0x100));
          return;
        case CapAt.EXP + EXP_DEVCTL:
          if (!this.capabilities.exp) return;
          reset = this.fn.description.flr && (value & mask & EXP_DEVCTL_FLR) !== 0;
          F.deviceControl.set(mem, p, merge(F.deviceControl.get(mem, p), 0x7fff));
          return;
        case CapAt.AER + AER_UNCORRECTABLE_STATUS:
          F.aerStatus.and(mem, p, ~(value & mask));
          return;
        case CapAt.ACS + ACS_CAP:
          acs = this.capabilities.acs;
          if (acs) F.acsControl.store(mem, p, merge(F.acsControl.get(mem, p) << 16, this.#acsWritable << 16) >>> 16);
          return;
        default: {
          const bar = this.#barAt(offset);
          const i = (offset - Reg.BAR_0) >>> 2;
          if (bar !== null) F.bars.set(mem, p, i, merge(F.bars.get(mem, p, i), bar.writable) | bar.fixed);
        }
      }
    });
    if (acs) this.#hooks.routesChanged();
    if (reset) this.#hooks.flr();
  }

  #barAt(offset: number): BarRegister | null {
    return offset >= Reg.BAR_0 && offset < Reg.BAR_0 + 24 ? (this.#bars[(offset - Reg.BAR_0) >>> 2] ?? null) : null;
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
