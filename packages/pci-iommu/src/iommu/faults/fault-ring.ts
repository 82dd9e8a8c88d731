import { i32, type Machine, type Mem, struct, u53, withSpin } from '@dmabuf-emu/shm';

/** Fault recording registers of an IOMMU. */
export const FAULT_REGISTERS = 8;

/**
 * Why the hardware refused: `context`: nothing is attached, or what blocks everything; `write`, `read`: the page table does not
 * allow it; `translated`: a translated request of a function that must not make any.
 */
export const HARDWARE_FAULTS = ['context', 'write', 'read', 'translated'] as const;
export type HardwareFault = (typeof HARDWARE_FAULTS)[number];

/** What a fault recording register holds. */
export interface HardwareFaultRecord {
  /** Bus, device and function of the requester. */
  readonly requesterId: number;
  /** The page. */
  readonly address: number;
  readonly write: boolean;
  readonly fault: HardwareFault;
}

const RingStruct = struct('pci.fault_registers', {
  lock: i32(),
  /** Register that the next fault goes to. */
  next: i32(),
  overflow: i32(),
  interrupts: i32(),
  lost: i32(),
});
const R = RingStruct;

const RegisterStruct = struct('pci.fault_register', {
  /** 1 from when a fault is recorded until software clears it. */
  pending: i32(),
  requesterId: i32(),
  write: i32(),
  fault: i32(),
  address: u53(),
});
const F = RegisterStruct;

/**
 * The fault recording registers of one IOMMU, as its driver sees them. A fault that finds its register in use is lost and sets
 * the overflow bit; while that is set, nothing is recorded. The emulator's own log keeps all of them.
 */
export class FaultRing {
  readonly #machine: Machine;
  readonly #mem: Mem;
  readonly #p: number;

  /** @param iommu - number of the IOMMU */
  constructor(machine: Machine, iommu: number) {
    this.#machine = machine;
    this.#mem = machine.mem;
    this.#p = machine.root(`pci.fault-registers:${iommu}`, R.$words + FAULT_REGISTERS * F.$words);
  }

  /** The hardware refused an access. */
  record({ requesterId, address, write, fault }: HardwareFaultRecord): void {
    withSpin(this.#machine, this.#p + R.lock.at, () => {
      const next = R.next.get(this.#mem, this.#p);
      const at = this.#register(next);
      if (this.overflowed || F.pending.load(this.#mem, at) !== 0) {
        R.overflow.store(this.#mem, this.#p, 1);
        R.lost.add(this.#mem, this.#p, 1);
        return;
      }
      if (!this.pending) R.interrupts.add(this.#mem, this.#p, 1);
      F.requesterId.set(this.#mem, at, requesterId);
      F.address.set(this.#mem, at, address);
      F.write.set(this.#mem, at, write ? 1 : 0);
      F.fault.set(this.#mem, at, HARDWARE_FAULTS.indexOf(fault));
      F.pending.store(this.#mem, at, 1);
      R.next.set(this.#mem, this.#p, (next + 1) % FAULT_REGISTERS);
    });
  }

  /** Whether a register holds a fault. @kernel DMA_FSTS_PPF */
  get pending(): boolean {
    return this.first >= 0;
  }

  /** The register with the oldest fault; -1 when there is none. @kernel dma_fsts_fault_record_index */
  get first(): number {
    const next = R.next.get(this.#mem, this.#p);
    for (let i = 0; i < FAULT_REGISTERS; i++) {
      const register = (next + i) % FAULT_REGISTERS;
      if (F.pending.load(this.#mem, this.#register(register)) !== 0) return register;
    }
    return -1;
  }

  /** A fault was lost, and nothing is recorded until {@link clearOverflow}. @kernel DMA_FSTS_PFO */
  get overflowed(): boolean {
    return R.overflow.load(this.#mem, this.#p) !== 0;
  }

  /** Faults that were not recorded. */
  get lost(): number {
    return R.lost.load(this.#mem, this.#p);
  }

  /** How often the hardware told that faults began to be pending. */
  get interrupts(): number {
    return R.interrupts.load(this.#mem, this.#p);
  }

  /** What a register holds; `null` when it holds no fault. */
  read(register: number): HardwareFaultRecord | null {
    const at = this.#register(register);
    if (F.pending.load(this.#mem, at) === 0) return null;
    return {
      requesterId: F.requesterId.get(this.#mem, at),
      address: F.address.get(this.#mem, at),
      write: F.write.get(this.#mem, at) === 1,
      fault: HARDWARE_FAULTS[F.fault.get(this.#mem, at)]!,
    };
  }

  /** Lets a register take another fault. */
  clear(register: number): void {
    F.pending.store(this.#mem, this.#register(register), 0);
  }

  clearOverflow(): void {
    R.overflow.store(this.#mem, this.#p, 0);
  }

  /** Reads and clears every register, the oldest fault first, then the overflow. @kernel dmar_fault */
  drain(): HardwareFaultRecord[] {
    const records: HardwareFaultRecord[] = [];
    for (let register = this.first; register >= 0; register = this.first) {
      records.push(this.read(register)!);
      this.clear(register);
    }
    this.clearOverflow();
    return records;
  }

  #register(register: number): number {
    return this.#p + R.$words + register * F.$words;
  }
}
