import type { File } from '@dmabuf-emu/core';
import { KernelError, type Machine, orUndo, waitQueueOf, type WaitOptions } from '@dmabuf-emu/shm';
import { CapId, type ConfigSpace, MSIX_FLAGS, MsixFlag, PciCommand, Reg } from '../config-space/index.ts';
import { FunctionStruct } from '../config-space/function-state.ts';
import type { PhysicalMemory } from '../memory/index.ts';
import type { InterruptController } from './interrupt-controller.ts';
import { type InterruptKind, InterruptSource } from './interrupt-source.ts';
import { IrqStruct as I } from './irq-struct.ts';
import { messageOf } from './message-window.ts';

const F = FunctionStruct;
const KINDS: readonly (InterruptKind | 'none')[] = ['none', 'intx', 'msi', 'msix'];

/** What {@link FunctionInterrupts} needs to know of its function. */
export interface InterruptContext {
  readonly controller: InterruptController;
  readonly memory: PhysicalMemory;
  readonly config: ConfigSpace;
  /** Word of the function's state. */
  readonly p: number;
  /** Writes a message as the function; false when it did not get through. */
  send(address: number, data: number): boolean;
}

/**
 * Interrupts of one function. A driver enables vectors and has tasks wait for them or eventfds told; the device's engine
 * triggers them. Messages are writes of the function: they need bus mastering, and come behind what it wrote before.
 *
 * @example
 * nic.interrupts.enable('msix', 4);
 * nic.interrupts.trigger(2);            // in the engine's thread
 * nic.interrupts.wait(2, { timeoutMs: 1000 }); // in the driver's
 * nic.interrupts.disable();
 */
export class FunctionInterrupts {
  readonly machine: Machine;
  /** The hardware's side. */
  readonly source: InterruptSource;
  readonly #context: InterruptContext;

  constructor(context: InterruptContext) {
    const { memory, config, p } = context;
    this.machine = memory.machine;
    this.#context = context;
    this.source = new InterruptSource(memory, config, p, {
      send: (address, data) => context.send(address, data),
      line: () => this.#line(),
    });
  }

  /** What the driver enabled. */
  get kind(): InterruptKind | 'none' {
    return KINDS[F.irqKind.load(this.machine.mem, this.#context.p)]!;
  }

  /** Vectors that the driver has. */
  get vectors(): number {
    return this.#irqs().length;
  }

  /** Vectors that the function can have; 0 when it cannot interrupt in this way. @kernel pci_msi_vec_count, pci_msix_vec_count */
  count(kind: InterruptKind): number {
    if (kind === 'msi') return this.source.msi?.registers.vectors ?? 0;
    if (kind === 'msix') return this.source.msix?.size ?? 0;
    return this.#context.config.peek(Reg.INTERRUPT + 1, 1) === 0 ? 0 : 1;
  }

  /**
   * Gives the driver vectors, and lets the function send them. MSI and MSI-X switch INTx off.
   * @kernel pci_alloc_irq_vectors, request_irq
   * @throws KernelError EINVAL (not supported, enabled already), ENOSPC (more than the function or the machine has), ENOMEM
   */
  enable(kind: InterruptKind, vectors = 1): void {
    const { mem } = this.machine;
    const { p } = this.#context;
    const most = this.count(kind);
    if (most === 0 || vectors < 1) throw this.#failed('EINVAL', `${vectors} vectors of ${kind}, it has ${most}`);
    if (vectors > most) throw this.#failed('ENOSPC', `${vectors} vectors of ${kind}, it has ${most}`);
    if (F.irqKind.cas(mem, p, 0, KINDS.indexOf(kind)) !== 0) throw this.#failed('EINVAL', `${this.kind} is enabled`);
    const made: number[] = [];
    orUndo(
      () => {
        for (let vector = 0; vector < vectors; vector++) made.push(this.#make(vector));
        if (kind !== 'intx') this.#context.controller.assign(made, kind === 'msi');
      },
      () => {
        for (const irq of made) this.machine.slab(I).free(irq, 'pci_alloc_irq_vectors');
        F.irqKind.store(mem, p, 0);
      },
    );
    made.forEach((irq, i) => I.next.set(mem, this.machine.slab(I).at(irq), made[i + 1] ?? 0));
    F.irqs.store(mem, p, made[0]!);
    this.#setIntx(kind === 'intx');
    this.program();
  }

  /** Takes all vectors back; waiting tasks are told ENODEV. @kernel free_irq, pci_free_irq_vectors */
  disable(): void {
    const { mem } = this.machine;
    const { controller, p } = this.#context;
    const { kind } = this;
    if (kind === 'none') return;
    const irqs = this.#irqs();
    if (kind === 'msi') this.source.msi?.disable();
    if (kind === 'msix') this.#setMsixFlags(0);
    this.#setIntx(true);
    F.irqs.store(mem, p, 0);
    if (kind !== 'intx') controller.revoke(irqs);
    for (const irq of irqs) {
      controller.notify(irq, null);
      const queue = waitQueueOf(this.machine, this.machine.slab(I).at(irq), I.queue);
      this.machine.slab(I).free(irq, 'pci_free_irq_vectors');
      queue.wakeAll();
    }
    F.irqKind.store(mem, p, 0);
  }

  /** The device interrupts. Returns whether that was delivered at once. @throws KernelError EINVAL for a vector that it has not */
  trigger(vector = 0): boolean {
    const most = this.count(this.source.kind);
    if (vector < 0 || vector >= Math.max(most, 1)) throw this.#failed('EINVAL', `vector ${vector}, it has ${most}`);
    return this.source.trigger(vector);
  }

  /**
   * Waits for an interrupt that nobody waited for yet; false when the timeout passed first.
   * @throws KernelError EINVAL for a vector that the driver has not, ENODEV when vectors are taken back meanwhile
   */
  wait(vector = 0, options: WaitOptions = {}): boolean {
    const irq = this.#irq(vector);
    const slab = this.machine.slab(I);
    return waitQueueOf(this.machine, slab.at(irq), I.queue).waitUntil(() => this.#take(irq), options);
  }

  /** Interrupts of a vector so far. @throws KernelError EINVAL for a vector that the driver has not */
  received(vector = 0): number {
    return I.count.load(this.machine.mem, this.machine.slab(I).at(this.#irq(vector))) >>> 0;
  }

  /** Has an eventfd told of each interrupt of a vector, or no longer. @throws KernelError EINVAL for a vector that the driver has not */
  notify(vector: number, eventfd: File | null): void {
    this.#context.controller.notify(this.#irq(vector), eventfd);
  }

  /** Signals the eventfd of a vector as if there had been an interrupt; false without one. @throws KernelError EINVAL as {@link notify} */
  signal(vector: number): boolean {
    return this.#context.controller.tell(this.machine.slab(I).at(this.#irq(vector)) + I.file.at);
  }

  /** Whether an eventfd is told of a vector. @throws KernelError EINVAL as {@link notify} */
  isNotified(vector: number): boolean {
    return I.file.get(this.machine.mem, this.machine.slab(I).at(this.#irq(vector))) !== 0;
  }

  /** @kernel pci_msi_mask_irq @throws KernelError EINVAL for a vector that the driver has not, or that cannot be masked */
  mask(vector = 0): void {
    this.#setMasked(vector, true);
  }

  /** An interrupt that is pending is delivered. @kernel pci_msi_unmask_irq @throws KernelError EINVAL as {@link mask} */
  unmask(vector = 0): void {
    this.#setMasked(vector, false);
    if (this.kind === 'msix') this.source.flush();
  }

  /** Whether a masked vector has an interrupt to deliver. */
  isPending(vector = 0): boolean {
    const { kind, msi, msix } = this.source;
    if (kind === 'intx') return this.source.lineAsserted;
    return kind === 'msix' ? msix!.isPending(vector) : (msi!.pending & (1 << vector)) !== 0;
  }

  /** Writes the vectors' messages to the function's registers: when they are enabled, and after a reset. @kernel pci_restore_msi_state */
  program(): void {
    const { mem } = this.machine;
    const { kind } = this;
    const irqs = this.#irqs();
    if (kind === 'none' || kind === 'intx' || irqs.length === 0) return;
    const slab = this.machine.slab(I);
    const messages = irqs.map((irq) => messageOf(I.message.get(mem, slab.at(irq))));
    if (kind === 'msi') {
      this.source.msi?.enable(messages[0]!.address, messages[0]!.data, irqs.length);
      return;
    }
    this.#setMsixFlags(MsixFlag.ENABLE | MsixFlag.MASK_ALL);
    messages.forEach((message, vector) => {
      const masked = I.masked.load(mem, slab.at(irqs[vector]!)) !== 0;
      this.source.msix?.setEntry(vector, { ...message, masked });
    });
    this.#setMsixFlags(MsixFlag.ENABLE);
  }

  /** The function was reset. @throws KernelError ENOMEM the first time, for the table */
  wasReset(): void {
    this.source.deassertLine();
    this.source.msix?.clear();
  }

  /** Each INTx interrupt masks itself: whoever gets it unmasks it once the device was served. @kernel pci_check_and_mask_intx */
  autoMask(): void {
    I.autoMask.store(this.machine.mem, this.machine.slab(I).at(this.#irq(0)), 1);
  }

  /**
   * Gives the driver more vectors of MSI-X, up to `vectors`.
   * @kernel pci_msix_alloc_irq_at
   * @throws KernelError EINVAL (not MSI-X, or more than the function has), ENOSPC, ENOMEM; the former ones stay
   */
  extend(vectors: number): void {
    const { mem } = this.machine;
    const slab = this.machine.slab(I);
    const irqs = this.#irqs();
    if (this.kind !== 'msix' || vectors > this.count('msix')) {
      throw this.#failed('EINVAL', `vector ${vectors - 1} of ${this.kind}, it has ${this.count('msix')}`);
    }
    for (let vector = irqs.length; vector < vectors; vector++) {
      const irq = this.#make(vector);
      orUndo(
        () => this.#context.controller.assign([irq], false),
        () => slab.free(irq, 'pci_msix_alloc_irq_at'),
      );
      I.next.store(mem, slab.at(irqs.at(-1)!), irq);
      irqs.push(irq);
      this.source.msix?.setEntry(vector, { ...messageOf(I.message.get(mem, slab.at(irq))), masked: false });
    }
  }

  #make(vector: number): number {
    const { mem } = this.machine;
    const irq = this.machine.slab(I).alloc('pci_alloc_irq_vectors');
    const at = this.machine.slab(I).at(irq);
    for (const field of [I.next, I.count, I.taken, I.masked, I.autoMask, I.file]) field.set(mem, at, 0);
    I.fn.set(mem, at, this.#context.config.fn.index);
    I.vector.set(mem, at, vector);
    I.message.set(mem, at, -1);
    return irq;
  }

  #line(): boolean {
    const { mem } = this.machine;
    const irq = this.kind === 'intx' ? F.irqs.load(mem, this.#context.p) : 0;
    if (irq === 0) return false;
    const p = this.machine.slab(I).at(irq);
    if (I.autoMask.load(mem, p) !== 0) {
      I.masked.store(mem, p, 1);
      this.#setIntx(false);
    }
    return this.#context.controller.raise(irq);
  }

  #take(irq: number): boolean {
    const { mem } = this.machine;
    for (;;) {
      const p = this.machine.slab(I).tryAt(irq);
      if (p === 0) throw this.#failed('ENODEV', 'its vectors were taken back');
      const taken = I.taken.load(mem, p);
      if (taken === I.count.load(mem, p)) return false;
      if (I.taken.cas(mem, p, taken, (taken + 1) | 0) === taken) return true;
    }
  }

  #setMasked(vector: number, masked: boolean): void {
    const irq = this.#irq(vector);
    const { kind } = this;
    if (kind === 'intx') this.#setIntx(!masked);
    else if (kind === 'msix') this.source.msix?.setMasked(vector, masked);
    else if (this.source.msi?.setMasked(vector, masked) !== true) {
      throw this.#failed('EINVAL', 'its vectors cannot be masked one by one');
    }
    I.masked.store(this.machine.mem, this.machine.slab(I).at(irq), masked ? 1 : 0);
  }

  #setIntx(on: boolean): void {
    const { config } = this.#context;
    const { command } = config;
    config.command = on ? command & ~PciCommand.INTX_DISABLE : command | PciCommand.INTX_DISABLE;
  }

  #setMsixFlags(flags: number): void {
    const { config } = this.#context;
    config.write(config.capabilityAt(CapId.MSIX) + MSIX_FLAGS, 2, flags);
  }

  #irq(vector: number): number {
    const irq = this.#irqs()[vector];
    if (irq === undefined) throw this.#failed('EINVAL', `vector ${vector}, the driver has ${this.vectors}`);
    return irq;
  }

  #irqs(): number[] {
    const { mem } = this.machine;
    const slab = this.machine.slab(I);
    const irqs: number[] = [];
    for (let irq = F.irqs.load(mem, this.#context.p); irq !== 0;) {
      irqs.push(irq);
      const p = slab.tryAt(irq);
      irq = p === 0 ? 0 : I.next.get(mem, p);
    }
    return irqs;
  }

  #failed(code: 'EINVAL' | 'ENOSPC' | 'ENODEV', text: string): KernelError {
    return new KernelError(code, 'pci_irq_vector', `${this.#context.config.fn.bdf}: ${text}`);
  }
}
