import { BridgeControl, PciCommand, Reg } from './registers.ts';

const TWO_TO_32 = 0x1_0000_0000;
const MIB = 0x10_0000;
const PAGE_4K = 0x1000;

/** A range of bus addresses that a bridge forwards downwards; both ends inclusive. */
export interface BridgeWindow {
  readonly start: number;
  readonly end: number;
}

/** Reads a register of a bridge as it is at the moment, whether or not it answers. */
export type ReadRegister = (offset: number, size: 1 | 2 | 4) => number;

/**
 * What a bridge's registers say at this moment. A window whose base lies above its limit is closed; all are while the
 * command register does not let the bridge decode.
 */
export class BridgeRegisters {
  readonly #read: ReadRegister;

  constructor(read: ReadRegister) {
    this.#read = read;
  }

  get secondary(): number {
    return this.#read(Reg.BUS_NUMBERS + 1, 1);
  }

  get subordinate(): number {
    return this.#read(Reg.BUS_NUMBERS + 2, 1);
  }

  get ioWindow(): BridgeWindow | null {
    if (!this.#decodes(PciCommand.IO)) return null;
    const [base, limit] = [this.#read(Reg.IO_WINDOW, 1), this.#read(Reg.IO_WINDOW + 1, 1)];
    const isWide = (base & 0xf) === 1;
    const upper = (at: number): number => (isWide ? this.#read(at, 2) * 0x1_0000 : 0);
    const start = (base & 0xf0) * 0x100 + upper(Reg.IO_WINDOW_UPPER);
    return opened(start, (limit & 0xf0) * 0x100 + upper(Reg.IO_WINDOW_UPPER + 2) + PAGE_4K - 1);
  }

  get memoryWindow(): BridgeWindow | null {
    if (!this.#decodes(PciCommand.MEMORY)) return null;
    const start = (this.#read(Reg.MEMORY_WINDOW, 2) & 0xfff0) * 0x1_0000;
    return opened(start, (this.#read(Reg.MEMORY_WINDOW + 2, 2) & 0xfff0) * 0x1_0000 + MIB - 1);
  }

  get prefetchWindow(): BridgeWindow | null {
    if (!this.#decodes(PciCommand.MEMORY)) return null;
    const [base, limit] = [this.#read(Reg.PREFETCH_WINDOW, 2), this.#read(Reg.PREFETCH_WINDOW + 2, 2)];
    const isWide = (base & 0xf) === 1;
    const upper = (at: number): number => (isWide ? this.#read(at, 4) * TWO_TO_32 : 0);
    const start = (base & 0xfff0) * 0x1_0000 + upper(Reg.PREFETCH_BASE_UPPER);
    return opened(start, (limit & 0xfff0) * 0x1_0000 + upper(Reg.PREFETCH_LIMIT_UPPER) + MIB - 1);
  }

  /** Legacy VGA addresses are forwarded too. @kernel PCI_BRIDGE_CTL_VGA */
  get forwardsVga(): boolean {
    return (this.#read(Reg.BRIDGE_CONTROL, 2) & BridgeControl.VGA) !== 0;
  }

  /** The functions below are held in reset. @kernel PCI_BRIDGE_CTL_BUS_RESET */
  get holdsBusInReset(): boolean {
    return (this.#read(Reg.BRIDGE_CONTROL, 2) & BridgeControl.BUS_RESET) !== 0;
  }

  #decodes(bit: number): boolean {
    return (this.#read(Reg.COMMAND, 2) & bit) !== 0;
  }
}

function opened(start: number, end: number): BridgeWindow | null {
  return start <= end ? { start, end } : null;
}
