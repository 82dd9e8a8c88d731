import { i32, struct } from '../arena/declare.ts';
import type { Slab } from '../arena/slab.ts';
import type { Machine } from '../machine/machine.ts';

/** How a class of ww mutexes avoids deadlock. */
export type WwAlgorithm = 'wait-die' | 'wound-wait';

/** A class of ww mutexes: its name and algorithm. Tickets are drawn per class. @kernel ww_class */
export interface WwClass {
  readonly name: string;
  readonly algorithm: WwAlgorithm;
}

/** @kernel DEFINE_WD_CLASS, DEFINE_WW_CLASS */
export function wwClass(name: string, algorithm: WwAlgorithm): WwClass {
  return Object.freeze({ name, algorithm });
}

/** The class of all reservation objects. @kernel reservation_ww_class */
export const RESERVATION_WW_CLASS: WwClass = wwClass('reservation_ww_class', 'wait-die');

export const WwCtxStruct = struct('ww_acquire_ctx', {
  stamp: i32(),
  acquired: i32(),
  wounded: i32(),
  waitDie: i32(),
  class: i32(),
  contending: i32(),
  done: i32(),
  injectLeft: i32(),
  injectInterval: i32(),
});

const C = WwCtxStruct;

/** What a thread looks up once for each class. */
interface ClassState {
  readonly slab: Slab;
  /** Word that counts the tickets. */
  readonly stamps: number;
  readonly nameId: number;
}

const CLASSES = Symbol('ww-classes');

function classState(machine: Machine, cls: WwClass): ClassState {
  const known = machine.local(CLASSES, () => new Map<WwClass, ClassState>());
  let state = known.get(cls);
  if (state === undefined) {
    const stamps = machine.root(`ww_class:${cls.name}`, 16);
    state = { slab: machine.slab(C), stamps, nameId: machine.intern(cls.name) };
    known.set(cls, state);
  }
  return state;
}

/** One transaction over several ww mutexes. Make it with {@link WwAcquireCtx.init}, end it with {@link fini}. @kernel ww_acquire_ctx */
export class WwAcquireCtx {
  readonly machine: Machine;
  readonly ref: number;
  readonly wwClass: WwClass;
  readonly #slab: Slab;
  readonly #p: number;

  private constructor(machine: Machine, slab: Slab, ref: number, cls: WwClass) {
    this.machine = machine;
    this.ref = ref;
    this.wwClass = cls;
    this.#slab = slab;
    this.#p = slab.at(ref);
  }

  /** Draws a ticket: a smaller stamp is older and wins. @kernel ww_acquire_init @throws KernelError ENOMEM */
  static init(machine: Machine, cls: WwClass = RESERVATION_WW_CLASS): WwAcquireCtx {
    const { slab, stamps, nameId } = classState(machine, cls);
    const ref = slab.alloc('ww_acquire_init');
    const p = slab.at(ref);
    const stamp = machine.mem.movers.add(stamps, 1) + 1;
    C.stamp.set(machine.mem, p, stamp);
    C.waitDie.set(machine.mem, p, cls.algorithm === 'wait-die' ? 1 : 0);
    C.class.set(machine.mem, p, nameId);
    C.injectLeft.set(machine.mem, p, stamp & 15);
    C.injectInterval.set(machine.mem, p, 1);
    return new WwAcquireCtx(machine, slab, ref, cls);
  }

  /** Word of the context in the arena. */
  get p(): number {
    return this.#p;
  }

  get stamp(): number {
    return C.stamp.get(this.machine.mem, this.#p);
  }

  /** Locks held through this context. */
  get acquired(): number {
    return C.acquired.get(this.machine.mem, this.#p);
  }

  /** Declares that no more locks follow. @kernel ww_acquire_done */
  done(): void {
    if (C.done.get(this.machine.mem, this.#p) !== 0)
      this.machine.diag.warn('ww-done-twice', 'ww_acquire_done called twice');
    C.done.set(this.machine.mem, this.#p, 1);
  }

  /** Ends the transaction; all its locks must be released. @kernel ww_acquire_fini */
  fini(): void {
    if (this.acquired !== 0) this.machine.diag.warn('ww-fini-held', `ww_acquire_fini with ${this.acquired} locks held`);
    this.#slab.free(this.ref, 'ww_acquire_fini');
  }
}

/** True when the context at word `a` is younger than the one at word `b` (wrap-safe). */
export function younger(machine: Machine, a: number, b: number): boolean {
  return ((C.stamp.get(machine.mem, a) - C.stamp.get(machine.mem, b)) | 0) > 0;
}
