import { isSyncHooked, type Machine, type Mem, type Slab, UsageError } from '@dmabuf-emu/shm';
import { CORE_QUIRKS } from '../../quirks.ts';
import type { Fence } from '../fence.ts';
import type { FenceDriver, FenceOps } from '../ops.ts';
import type { Containers } from './containers.ts';
import {
  CallbackStruct,
  CAP_CONTAINER,
  CAP_DEADLINE,
  CAP_ENABLE,
  CAP_KEEPS_OPS,
  CAP_KNOWN,
  CAP_RELEASE,
  CAP_SIGNALED,
  CAP_WAIT,
  FenceStruct,
  OPS_MASK,
  REF,
  SIGNALED,
} from './layout.ts';

/** Most fence drivers of a machine, as many as a fence's header can name. */
const MAX_DRIVERS = OPS_MASK + 1;
/** A state that no fence has. */
const NEVER = 1;
/**
 * The kernel's trace events of fences. `dma_fence_emit` is for drivers.
 * @kernel dma_fence:dma_fence_init, dma_fence:dma_fence_enable_signal, dma_fence:dma_fence_signaled,
 *   dma_fence:dma_fence_wait_start, dma_fence:dma_fence_wait_end, dma_fence:dma_fence_destroy, dma_fence:dma_fence_emit
 */
const EVENTS = [
  'dma_fence_init',
  'dma_fence_enable_signal',
  'dma_fence_signaled',
  'dma_fence_wait_start',
  'dma_fence_wait_end',
  'dma_fence_destroy',
  'dma_fence_emit',
] as const;
/** A trace event of this room; arguments: fence, context, low word of the seqno, driver. */
export type FenceEvent = (typeof EVENTS)[number];

/** A plain function that waits for a fence in this thread. */
export interface Closure {
  readonly fence: number;
  readonly fn: (fence: Fence) => void;
}

/** One thread's view of the machine's fences. Functions of this room take it with a fence's ref and its word `p`. */
export class FenceTable {
  /** Makes the handle of a fence; set by the module of {@link Fence}. */
  static makeFence: ((machine: Machine, ref: number) => Fence) | undefined;

  readonly machine: Machine;
  readonly mem: Mem;
  /** Whether {@link trace} records anything; hot paths ask before they call it. */
  readonly tracing: boolean;
  /** State, but for some flags, of a fence that is just freed when its last reference goes; none is with a trace or a hook. */
  get lastState(): number {
    return isSyncHooked() ? NEVER : this.#lastState;
  }
  readonly slab: Slab;
  readonly callbacks: Slab;
  /** Word of the context counter. */
  readonly contextAt: number;
  /** Word that holds the stub fence. */
  readonly stubAt: number;
  /** Closures of this thread that have not run, by callback ref. */
  readonly closures: Map<number, Closure> = new Map();
  /** This thread's event loop is looking after the mailbox. */
  pumping = false;
  /** A drain of the mailbox waits for the task to drop its locks. */
  drainQueued = false;
  /** This thread is in a section that must be run through for fences to be signalled. @kernel dma_fence_begin_signalling */
  signalling = false;
  /** Subsystems that hold references to fences in the arena, for the check. */
  readonly holders: Map<string, (hold: (ref: number) => void) => void> = new Map();
  /** Subsystems that own callbacks in the arena, for the check. */
  readonly callbackHolders: Map<string, (own: (cb: number) => void) => void> = new Map();
  /** Fences that consist of others; set when the table is made. */
  containers!: Containers;
  readonly #caps: number;
  /** Operations that keep a driver attached after signalling. */
  readonly #keepsOps: number;
  readonly #ids = new Map<FenceOps, number>();
  readonly #events = new Map<FenceEvent, number>();
  readonly #lastState: number;
  #lastOps: FenceOps | undefined;
  #lastId = 0;

  constructor(machine: Machine) {
    this.machine = machine;
    this.mem = machine.mem;
    this.tracing = machine.trace.on;
    this.#lastState = machine.trace.on ? NEVER : REF | SIGNALED;
    this.slab = machine.slab(FenceStruct);
    this.callbacks = machine.slab(CallbackStruct);
    this.contextAt = machine.root('fence.context', 16);
    this.stubAt = machine.root('fence.stub', 16);
    this.#caps = machine.root('fence.drivers', MAX_DRIVERS);
    this.#keepsOps = CORE_QUIRKS.has(machine, 'fence.opsStay') ? CAP_KNOWN : CAP_KEEPS_OPS;
    if (machine.trace.on) for (const event of EVENTS) this.#events.set(event, machine.trace.name(event));
  }

  /** The handle that operations and callbacks get. */
  fence(ref: number): Fence {
    if (FenceTable.makeFence === undefined) throw new UsageError('the module of class Fence is not loaded');
    return FenceTable.makeFence(this.machine, ref);
  }

  /** Number of a driver, registered in this thread on first use. Missing names are a BUG. @kernel dma_fence_init */
  driverId(ops: FenceOps): number {
    if (ops === this.#lastOps) return this.#lastId;
    const id = this.#ids.get(ops) ?? this.#register(ops);
    this.#lastOps = ops;
    this.#lastId = id;
    return id;
  }

  /** What the driver of the fence at word `p` can do, signalled or not. */
  caps(p: number): number {
    return this.capsOf(this.mem.i32[p]! & OPS_MASK);
  }

  /** What driver number `id` can do. */
  capsOf(id: number): number {
    return this.mem.i32[this.#caps + id]!;
  }

  /** What the driver of the fence at word `p` can still be asked for, given its state word. */
  liveCaps(p: number, state: number): number {
    const caps = this.caps(p);
    return (state & SIGNALED) !== 0 && (caps & this.#keepsOps) === 0 ? 0 : caps;
  }

  /** The driver of the fence at word `p`. @throws UsageError when this thread has not registered it. */
  driver(p: number): FenceDriver {
    return this.machine.drivers.get<FenceDriver>('fence', this.mem.i32[p]! & OPS_MASK);
  }

  trace(event: FenceEvent, ref: number, p: number): void {
    if (!this.tracing) return;
    const { trace } = this.machine;
    const { i32 } = this.mem;
    const seqno = FenceStruct.seqno.get(this.mem, p) | 0;
    trace.event(this.#events.get(event)!, ref, FenceStruct.context.get(this.mem, p), seqno, i32[p]! & OPS_MASK);
  }

  #register(ops: FenceOps): number {
    const { machine, mem } = this;
    if (typeof ops?.getDriverName !== 'function' || typeof ops.getTimelineName !== 'function') {
      machine.diag.bug('fence-ops', `fence driver needs getDriverName and getTimelineName, got ${JSON.stringify(ops)}`);
    }
    const id = machine.drivers.register('fence', ops.name, ops);
    const caps = capsOf(ops);
    const known = mem.i32[this.#caps + id]!;
    if (known !== 0 && known !== caps) {
      throw new UsageError(`fence driver '${ops.name}' has other operations here than where it was registered first`);
    }
    mem.i32[this.#caps + id] = caps;
    this.#ids.set(ops, id);
    return id;
  }
}

function capsOf(ops: FenceOps): number {
  let caps = CAP_KNOWN;
  if (ops.enableSignaling !== undefined) caps |= CAP_ENABLE;
  if (ops.signaled !== undefined) caps |= CAP_SIGNALED;
  if (ops.wait !== undefined) caps |= CAP_WAIT;
  if (ops.release !== undefined) caps |= CAP_RELEASE;
  if (ops.setDeadline !== undefined) caps |= CAP_DEADLINE;
  if (ops.isContainer === true) caps |= CAP_CONTAINER;
  return caps;
}
