import { atomicAdd, type Machine, type RwSemaphore, rwsemOf } from '@dmabuf-emu/shm';
import { evenIfLost } from '../internal/even-if-lost.ts';
import { HwStruct as H } from './hw-struct.ts';

/**
 * The gate between an engine's DMA and whoever takes its translations away. A burst of DMA holds it for reading; a zap holds
 * it for writing, so that no access of an old translation is under way when the zap returns: what a synchronous UMR zap, a
 * key invalidation or an IOTLB invalidation with draining is on real hardware. A handle over the struct behind `ref`.
 */
export class HwGate {
  readonly machine: Machine;
  readonly ref: number;
  readonly #p: number;
  readonly #gate: RwSemaphore;

  private constructor(machine: Machine, ref: number) {
    this.machine = machine;
    this.ref = ref;
    this.#p = machine.slab(H).at(ref);
    this.#gate = rwsemOf(machine, this.#p, H.gate);
  }

  /**
   * The gate of a new session of the calling task, without translations.
   * @param dmabuf - ref of the buffer, for reports
   * @throws KernelError ENOMEM
   */
  static alloc(machine: Machine, name: string, dmabuf: number): HwGate {
    const { mem } = machine;
    const slab = machine.slab(H);
    const ref = slab.alloc('importer_hw');
    const p = slab.at(ref);
    H.task.set(mem, p, machine.tid);
    H.uid.set(mem, p, nextUid(machine));
    H.name.set(mem, p, machine.intern(name));
    H.dmabuf.set(mem, p, dmabuf);
    return new HwGate(machine, ref);
  }

  static of(machine: Machine, ref: number): HwGate {
    return new HwGate(machine, ref);
  }

  /** The gate behind `ref`, or undefined when its session is gone. */
  static tryOf(machine: Machine, ref: number): HwGate | undefined {
    return machine.slab(H).tryAt(ref) === 0 ? undefined : new HwGate(machine, ref);
  }

  /** Number of the session. */
  get uid(): number {
    return H.uid.get(this.machine.mem, this.#p);
  }

  /** Number of the translations that may be used now; 0 for none. */
  get valid(): number {
    return H.valid.load(this.machine.mem, this.#p);
  }

  /** Times that translations were taken away. */
  get zaps(): number {
    return H.zaps.load(this.machine.mem, this.#p);
  }

  /** Whether a task died while it held the gate. */
  get lost(): boolean {
    return H.lostTo.load(this.machine.mem, this.#p) !== 0;
  }

  /** The engine may use new translations from now on; returns their number. The caller holds resv. */
  program(): number {
    const { mem } = this.machine;
    const number = H.programmed.add(mem, this.#p, 1) + 1;
    H.valid.store(mem, this.#p, number);
    return number;
  }

  /**
   * Runs a burst of DMA over translations `number`; false, without running it, when they were taken away.
   * Keep it short: a revoker waits for it.
   * @locks importer.hw (read)
   * @throws KernelError EOWNERDEAD when a revoker died while it held the gate.
   */
  burst(number: number, fn: () => void): boolean {
    return this.#gate.read(() => {
      if (this.valid !== number) return false;
      fn();
      return true;
    });
  }

  /**
   * Runs a burst of DMA that asks nobody whether it may: its translations are in an IOMMU, which says no by itself.
   * @locks importer.hw (read)
   * @throws KernelError EOWNERDEAD as {@link burst}
   */
  access(fn: () => void): void {
    this.#gate.read(fn);
  }

  /**
   * Takes the translations away. When it returns, no DMA of theirs is under way and none will start. Any task.
   * @locks importer.hw (write); the caller holds resv
   */
  zap(): void {
    const { mem } = this.machine;
    this.drain(() => H.valid.store(mem, this.#p, 0));
    H.zaps.add(mem, this.#p, 1);
  }

  /**
   * Runs `fn` while no burst of DMA is under way. Never fails for the engine's sake: one that died inside a burst is a CPU
   * lost, which does no more DMA.
   * @locks importer.hw (write)
   */
  drain(fn: () => void): void {
    if (!evenIfLost((locked) => this.#gate.write(locked), fn)) this.#noteLost();
  }

  /** Gives the struct back. */
  free(): void {
    this.machine.slab(H).free(this.ref, 'importer_hw');
  }

  #noteLost(): void {
    const { machine } = this;
    const { mem } = machine;
    if (H.lostTo.exchange(mem, this.#p, H.task.get(mem, this.#p) || -1) !== 0) return;
    const name = machine.string(H.name.get(mem, this.#p));
    machine.diag.info(
      'importer-hw-lost',
      `a task died during a burst of importer ${name}; its translations are taken away`,
    );
  }
}

/** 1, 2, 3: machine-wide. */
function nextUid(machine: Machine): number {
  return atomicAdd(machine.mem, machine.root('importers.uid', 16), 1) + 1;
}
