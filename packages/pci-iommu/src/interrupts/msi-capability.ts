import { CapId, type ConfigSpace, MSI_FLAGS, type MsiRegisters, msiRegisters, MsiFlag } from '../config-space/index.ts';
import type { MsixEntry } from './msix-table.ts';

/** The registers of a function's MSI capability, as the function itself uses them. */
export class MsiCapability {
  readonly registers: MsiRegisters;
  readonly #config: ConfigSpace;

  private constructor(config: ConfigSpace, registers: MsiRegisters) {
    this.#config = config;
    this.registers = registers;
  }

  /** `null` for a function without the capability. */
  static of(config: ConfigSpace): MsiCapability | null {
    const at = config.capabilityAt(CapId.MSI);
    return at === 0 ? null : new MsiCapability(config, msiRegisters(at, config.initial(at + MSI_FLAGS, 2)));
  }

  get enabled(): boolean {
    return (this.#config.peek(this.registers.flags, 2) & MsiFlag.ENABLE) !== 0;
  }

  /** Vectors that software lets the function send. */
  get allowed(): number {
    return 2 ** ((this.#config.peek(this.registers.flags, 2) & MsiFlag.ENABLED) >>> 4);
  }

  entry(vector: number): MsixEntry {
    const { address, addressUpper, data } = this.registers;
    const upper = addressUpper === null ? 0 : this.#config.peek(addressUpper, 4);
    return {
      address: upper * 2 ** 32 + this.#config.peek(address, 4),
      data: (this.#config.peek(data, 2) & ~(this.allowed - 1)) | (vector & (this.allowed - 1)),
      masked: (this.mask & (1 << vector)) !== 0,
    };
  }

  /** One bit a vector; 0 where vectors cannot be masked. */
  get mask(): number {
    return this.registers.mask === null ? 0 : this.#config.peek(this.registers.mask, 4);
  }

  /** Masks or unmasks a vector; false where that cannot be. @kernel pci_msi_update_mask */
  setMasked(vector: number, masked: boolean): boolean {
    const { mask } = this.registers;
    if (mask === null) return false;
    const bit = 1 << vector;
    this.#config.write(mask, 4, masked ? this.mask | bit : this.mask & ~bit);
    return true;
  }

  get pending(): number {
    return this.registers.pending === null ? 0 : this.#config.peek(this.registers.pending, 4);
  }

  setPending(vector: number): void {
    if (this.registers.pending !== null) this.#config.setStatus(this.registers.pending, 1 << vector);
  }

  /** Takes the pending bit away; tells whether it was set. */
  takePending(vector: number): boolean {
    const { pending } = this.registers;
    return pending !== null && (this.#config.setStatus(pending, 0, 1 << vector) & (1 << vector)) !== 0;
  }

  /** Software lets the function send `vectors` vectors from this message on. @kernel msi_capability_init */
  enable(address: number, data: number, vectors: number): void {
    const { registers } = this;
    this.#config.write(registers.address, 4, address);
    if (registers.addressUpper !== null) this.#config.write(registers.addressUpper, 4, 0);
    this.#config.write(registers.data, 2, data);
    const allowed = Math.ceil(Math.log2(vectors)) << 4;
    const flags = this.#config.peek(registers.flags, 2) & ~MsiFlag.ENABLED;
    this.#config.write(registers.flags, 2, flags | allowed | MsiFlag.ENABLE);
  }

  disable(): void {
    const { flags } = this.registers;
    this.#config.write(flags, 2, this.#config.peek(flags, 2) & ~(MsiFlag.ENABLE | MsiFlag.ENABLED));
  }
}
