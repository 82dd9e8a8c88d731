import { type Machine, syncPoint } from '@dmabuf-emu/shm';
import {
  CapId,
  type ConfigSpace,
  MSIX_FLAGS,
  MsixFlag,
  PCI_STATUS_INTERRUPT,
  PciCommand,
  Reg,
} from '../config-space/index.ts';
import { FunctionStruct } from '../config-space/function-state.ts';
import type { PhysicalMemory } from '../memory/index.ts';
import { MsiCapability } from './msi-capability.ts';
import { type MsixEntry, MsixTable } from './msix-table.ts';

const F = FunctionStruct;

/** Ways in which a function interrupts. */
export type InterruptKind = 'intx' | 'msi' | 'msix';

/** What sends a function's interrupts. */
export interface InterruptSink {
  /** Writes a message as the function; false when it did not get through. */
  send(address: number, data: number): boolean;
  /** INTx is asserted, and not disabled. */
  line(): boolean;
}

/**
 * The hardware's side of a function's interrupts: it sends what its registers say, keeps pending what is masked, and sends
 * that once it is not masked any more.
 */
export class InterruptSource {
  readonly msi: MsiCapability | null;
  readonly msix: MsixTable | null;
  readonly #machine: Machine;
  readonly #config: ConfigSpace;
  readonly #p: number;
  readonly #sink: InterruptSink;

  /** @param p - word of the function's state */
  constructor(memory: PhysicalMemory, config: ConfigSpace, p: number, sink: InterruptSink) {
    this.#machine = memory.machine;
    this.#config = config;
    this.#p = p;
    this.#sink = sink;
    this.msi = MsiCapability.of(config);
    this.msix = MsixTable.of(memory, config);
  }

  /** What its registers let it send: INTx unless one of the others is enabled. */
  get kind(): InterruptKind {
    if (this.msix !== null && (this.msixFlags & MsixFlag.ENABLE) !== 0) return 'msix';
    return this.msi?.enabled === true ? 'msi' : 'intx';
  }

  get msixFlags(): number {
    const at = this.#config.capabilityAt(CapId.MSIX);
    return at === 0 ? 0 : this.#config.peek(at + MSIX_FLAGS, 2);
  }

  /**
   * The device has an interrupt: one of its vectors, or, with neither MSI nor MSI-X enabled, a pulse of INTx. Returns whether
   * it was delivered at once; a masked vector is pending.
   */
  trigger(vector: number): boolean {
    const { kind } = this;
    if (kind === 'intx') {
      const delivered = this.assertLine();
      this.deassertLine();
      return delivered;
    }
    if (!this.#entry(kind, vector).masked) return this.#send(kind, vector);
    (kind === 'msix' ? this.msix : this.msi)?.setPending(vector);
    syncPoint('irq.pending');
    // Somebody may have unmasked it before the bit was set, and so not have seen it.
    return !this.#entry(kind, vector).masked && this.#sendPending(kind, vector);
  }

  /** Asserts INTx until {@link deassertLine}. Returns whether an interrupt was delivered: neither disabled nor asserted before. */
  assertLine(): boolean {
    const { mem } = this.#machine;
    const before = F.intx.exchange(mem, this.#p, 1);
    this.#config.setStatus(Reg.COMMAND, PCI_STATUS_INTERRUPT << 16);
    return before === 0 && this.#line();
  }

  deassertLine(): void {
    F.intx.store(this.#machine.mem, this.#p, 0);
    this.#config.setStatus(Reg.COMMAND, 0, PCI_STATUS_INTERRUPT << 16);
  }

  get lineAsserted(): boolean {
    return F.intx.load(this.#machine.mem, this.#p) !== 0;
  }

  /** Sends what is pending and not masked any more: registers or the table changed. */
  flush(): void {
    const { kind, msi, msix } = this;
    if (kind === 'intx') {
      if (this.lineAsserted) this.#line();
      return;
    }
    if (kind === 'msi' && msi !== null) {
      for (let bits = msi.pending & ~msi.mask; bits !== 0; bits &= bits - 1)
        this.#sendPending('msi', 31 - Math.clz32(bits & -bits));
      return;
    }
    if (msix === null || (this.msixFlags & MsixFlag.MASK_ALL) !== 0) return;
    for (let vector = 0; vector < msix.size; vector++) {
      if (vector % 32 === 0 && !msix.anyPending(vector)) vector += 31;
      else if (msix.isPending(vector) && !msix.entry(vector).masked) this.#sendPending('msix', vector);
    }
  }

  #entry(kind: 'msi' | 'msix', vector: number): MsixEntry {
    if (kind === 'msi') return this.msi!.entry(vector);
    const entry = this.msix!.entry(vector);
    return (this.msixFlags & MsixFlag.MASK_ALL) === 0 ? entry : { ...entry, masked: true };
  }

  #sendPending(kind: 'msi' | 'msix', vector: number): boolean {
    const taken = (kind === 'msix' ? this.msix : this.msi)?.takePending(vector) === true;
    return taken && this.#send(kind, vector);
  }

  #send(kind: 'msi' | 'msix', vector: number): boolean {
    const { address, data } = this.#entry(kind, vector);
    return this.#sink.send(address, data);
  }

  #line(): boolean {
    return (this.#config.command & PciCommand.INTX_DISABLE) === 0 && this.#sink.line();
  }
}
