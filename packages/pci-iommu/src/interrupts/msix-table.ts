import { atomicAnd, atomicLoad, atomicOr, atomicStore, type Mem } from '@dmabuf-emu/shm';
import {
  type ConfigSpace,
  CapId,
  MSIX_ENTRY_BYTES,
  MSIX_ENTRY_MASKED,
  MSIX_FLAGS,
  MSIX_PBA,
  MSIX_TABLE,
  MsixFlag,
} from '../config-space/index.ts';
import { type PhysicalMemory, RunList } from '../memory/index.ts';
import { isDecodedMemory } from '../topology/index.ts';

const ENTRY = { ADDRESS: 0, ADDRESS_UPPER: 4, DATA: 8, CONTROL: 12 } as const;
const BIR = 0x7;

/** One entry of the table. */
export interface MsixEntry {
  readonly address: number;
  readonly data: number;
  readonly masked: boolean;
}

/**
 * A function's table of MSI-X vectors and its array of pending bits: memory in its BARs, which processors and devices reach
 * like any other.
 */
export class MsixTable {
  readonly size: number;
  /** Physical addresses of the table and of the pending bits. */
  readonly start: number;
  readonly pendingStart: number;
  readonly #memory: PhysicalMemory;
  readonly #runs = new RunList();

  private constructor(memory: PhysicalMemory, size: number, start: number, pendingStart: number) {
    this.#memory = memory;
    this.size = size;
    this.start = start;
    this.pendingStart = pendingStart;
  }

  /** The table of a function; `null` when it has none, or none in memory that is decoded. */
  static of(memory: PhysicalMemory, config: ConfigSpace): MsixTable | null {
    const at = config.capabilityAt(CapId.MSIX);
    if (at === 0) return null;
    const size = (config.initial(at + MSIX_FLAGS, 2) & MsixFlag.SIZE) + 1;
    const place = (register: number, bytes: number): number | null => {
      const value = config.initial(at + register, 4);
      const bar = config.fn.bar(value & BIR);
      const offset = value - (value & BIR);
      return bar !== undefined && isDecodedMemory(bar) && offset + bytes <= bar.size ? bar.start + offset : null;
    };
    const start = place(MSIX_TABLE, size * MSIX_ENTRY_BYTES);
    const pending = place(MSIX_PBA, Math.ceil(size / 64) * 8);
    return start === null || pending === null ? null : new MsixTable(memory, size, start, pending);
  }

  /** First address behind the table. */
  get end(): number {
    return this.start + this.size * MSIX_ENTRY_BYTES;
  }

  /** Masks every vector, and forgets what is pending: as after a reset. @throws KernelError ENOMEM the first time */
  clear(): void {
    const { mem } = this;
    for (let vector = 0; vector < this.size; vector++) {
      this.#set(vector, ENTRY.ADDRESS, 0);
      this.#set(vector, ENTRY.ADDRESS_UPPER, 0);
      this.#set(vector, ENTRY.DATA, 0);
      this.#set(vector, ENTRY.CONTROL, MSIX_ENTRY_MASKED);
    }
    for (let vector = 0; vector < this.size; vector += 32) atomicStore(mem, this.#pendingWord(vector), 0);
  }

  entry(vector: number): MsixEntry {
    const read = (field: number): number => atomicLoad(this.mem, this.#word(vector, field)) >>> 0;
    return {
      address: read(ENTRY.ADDRESS_UPPER) * 2 ** 32 + read(ENTRY.ADDRESS),
      data: read(ENTRY.DATA),
      masked: (read(ENTRY.CONTROL) & MSIX_ENTRY_MASKED) !== 0,
    };
  }

  /** Writes an entry as a driver does: the mask last. */
  setEntry(vector: number, { address, data, masked }: MsixEntry): void {
    this.#set(vector, ENTRY.ADDRESS, address | 0);
    this.#set(vector, ENTRY.ADDRESS_UPPER, Math.floor(address / 2 ** 32));
    this.#set(vector, ENTRY.DATA, data);
    this.setMasked(vector, masked);
  }

  setMasked(vector: number, masked: boolean): void {
    const word = this.#word(vector, ENTRY.CONTROL);
    if (masked) atomicOr(this.mem, word, MSIX_ENTRY_MASKED);
    else atomicAnd(this.mem, word, ~MSIX_ENTRY_MASKED);
  }

  isPending(vector: number): boolean {
    return (atomicLoad(this.mem, this.#pendingWord(vector)) & bitOf(vector)) !== 0;
  }

  setPending(vector: number): void {
    atomicOr(this.mem, this.#pendingWord(vector), bitOf(vector));
  }

  /** Takes the pending bit away; tells whether it was set. */
  takePending(vector: number): boolean {
    return (atomicAnd(this.mem, this.#pendingWord(vector), ~bitOf(vector)) & bitOf(vector)) !== 0;
  }

  /** Whether any of the 32 vectors from `vector` on is pending. */
  anyPending(vector: number): boolean {
    return atomicLoad(this.mem, this.#pendingWord(vector)) !== 0;
  }

  private get mem(): Mem {
    return this.#memory.machine.mem;
  }

  #set(vector: number, field: number, value: number): void {
    atomicStore(this.mem, this.#word(vector, field), value);
  }

  #pendingWord(vector: number): number {
    return this.#wordAt(this.pendingStart + Math.floor(vector / 32) * 4);
  }

  #word(vector: number, field: number): number {
    return this.#wordAt(this.start + vector * MSIX_ENTRY_BYTES + field);
  }

  #wordAt(paddr: number): number {
    this.#runs.clear();
    this.#memory.resolve(this.#runs, paddr, 4, true);
    return this.#runs.at(0) >>> 2;
  }
}

function bitOf(vector: number): number {
  return 1 << (vector & 31);
}
