import { EventFd, File, noteFileHolder } from '@dmabuf-emu/core';
import { KernelError, type Machine, orUndo, syncPoint, waitQueueOf, withSpin } from '@dmabuf-emu/shm';
import { IrqStruct as I } from './irq-struct.ts';
import { messageNumber, type MessageNumber } from './message-window.ts';

/** Processors that messages can be sent to, and the vectors that each has for devices. */
const DESTINATIONS = 64;
const FIRST_VECTOR = 0x30;
const LAST_VECTOR = 0xef;
const NUMBERS = DESTINATIONS * 256;
const WORDS = NUMBERS + 16;

/**
 * The processors' side of interrupts: which message is whose. Interrupts are not remapped: any function can send any
 * message.
 * @kernel x86_vector_domain
 */
export class InterruptController {
  readonly machine: Machine;

  constructor(machine: Machine) {
    this.machine = machine;
    noteFileHolder(machine, 'pci.irq', () => this.#files());
  }

  /**
   * Gives each of these vectors a message of its own. @param aligned - numbers in a row, the first a multiple of their count
   * @throws KernelError ENOSPC when there are too few; none is given then
   */
  assign(irqs: readonly number[], aligned: boolean): void {
    const { mem } = this.machine;
    const slab = this.machine.slab(I);
    const room = aligned ? 2 ** Math.ceil(Math.log2(irqs.length)) : 1;
    const found = this.#locked((table) => {
      const numbers = findFree(mem.i32, table, aligned ? 1 : irqs.length, room);
      if (numbers === null) return false;
      irqs.forEach((irq, i) => {
        const number = aligned ? numbers[0]! + i : numbers[i]!;
        mem.i32[table + number] = irq;
        I.message.set(mem, slab.at(irq), number);
      });
      return true;
    });
    if (!found) throw new KernelError('ENOSPC', 'irq_domain_alloc_irqs', `${irqs.length} vectors are not free`);
  }

  /** Takes the messages of these vectors back. */
  revoke(irqs: readonly number[]): void {
    const { mem } = this.machine;
    const slab = this.machine.slab(I);
    this.#locked((table) => {
      for (const irq of irqs) {
        const number = I.message.get(mem, slab.at(irq));
        if (number >= 0) mem.i32[table + number] = 0;
      }
    });
  }

  /**
   * A message arrived at the root complex: the one whose it is gets the interrupt. Returns whether it is anybody's.
   * @kernel common_interrupt
   */
  deliver(address: number, data: number): boolean {
    syncPoint('irq.deliver');
    const number: MessageNumber = messageNumber(address, data);
    const { trace } = this.machine;
    if (trace.on) trace.event(trace.name('irq.deliver'), number);
    return number < NUMBERS && this.#raise((table) => this.machine.mem.i32[table + number]!);
  }

  /** {@link deliver} of a vector that has no message: INTx. */
  raise(irq: number): boolean {
    return this.#raise(() => (this.machine.slab(I).tryAt(irq) === 0 ? 0 : irq));
  }

  /** Has an eventfd told of each interrupt of a vector, or none. */
  notify(irq: number, eventfd: File | null): void {
    this.setEventFd(this.machine.slab(I).at(irq) + I.file.at, eventfd);
  }

  /** Replaces the eventfd that a word of the arena refers to, each with a reference of its own; 0 is none. */
  setEventFd(word: number, eventfd: File | null): void {
    const { machine } = this;
    eventfd?.get();
    const former = this.#locked(() => {
      const old = machine.mem.i32[word]!;
      machine.mem.i32[word] = eventfd?.ref ?? 0;
      return old;
    });
    if (former !== 0) File.of(machine, former).put();
  }

  /** Signals the eventfd that a word refers to; false without one. @kernel eventfd_signal */
  tell(word: number): boolean {
    const { machine } = this;
    const file = this.#locked(() => {
      const ref = machine.mem.i32[word]!;
      return ref === 0 ? null : File.of(machine, ref).get();
    });
    if (file !== null) signal(file);
    return file !== null;
  }

  /** @param find - the vector, with the table of vectors locked; 0 for none */
  #raise(find: (table: number) => number): boolean {
    const { machine } = this;
    const slab = machine.slab(I);
    let p = 0;
    let told: File | null = null;
    this.#locked((table) => {
      const irq = find(table);
      if (irq === 0) return;
      p = slab.at(irq);
      I.count.add(machine.mem, p, 1);
      const file = I.file.get(machine.mem, p);
      if (file !== 0) told = File.of(machine, file).get();
      // The vector may be taken back as soon as the lock is free.
      waitQueueOf(machine, p, I.queue).wakeAll();
    });
    if (p === 0) return false;
    if (told !== null) signal(told);
    return true;
  }

  #locked<T>(fn: (table: number) => T): T {
    const at = this.machine.root('pci.irqs', WORDS);
    return withSpin(this.machine, at, () => fn(at + 16));
  }

  *#files(): Generator<number> {
    const slab = this.machine.slab(I);
    for (const irq of slab.live()) {
      const file = I.file.get(this.machine.mem, slab.at(irq));
      if (file !== 0) yield file;
    }
  }
}

function signal(file: File): void {
  orUndo(
    () => EventFd.of(file).signal(),
    () => file.put(),
  );
  file.put();
}

/** Numbers of `count` groups of `room` free messages each, aligned to their size; `null` when there are too few. */
function findFree(words: Int32Array, table: number, count: number, room: number): number[] | null {
  const found: number[] = [];
  for (let destination = 0; destination < DESTINATIONS; destination++) {
    for (let vector = Math.ceil(FIRST_VECTOR / room) * room; vector + room - 1 <= LAST_VECTOR; vector += room) {
      const number = destination * 256 + vector;
      let free = true;
      for (let i = 0; i < room && free; i++) free = words[table + number + i] === 0;
      if (free) found.push(number);
      if (found.length === count) return found;
    }
  }
  return null;
}
