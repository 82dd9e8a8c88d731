import { type Machine, type Slab, UsageError } from '@dmabuf-emu/shm';
import type { Fence } from './fence.ts';
import { CallbackStruct } from './internal/layout.ts';
import { checkedName } from './ops.ts';

/** Code that runs when a fence ends, in the thread that ends it. */
export interface CallbackOps {
  /** Name that it is registered under. */
  readonly name: string;
  /**
   * The fence is signalled. Runs in the signaller's thread with the fence's lock held: must not sleep, take that lock, or add
   * or remove callbacks of that fence. `callback` is on no fence any more and may be freed or used again.
   */
  run(fence: Fence, callback: FenceCallback): void;
}

/** Callback code that can be registered. @kernel dma_fence_func_t */
export type CallbackDriver = CallbackOps & { readonly kind: 'fence-cb' };

/** Makes callback code known by name. @throws UsageError without a name. */
export function defineFenceCallback(ops: CallbackOps): CallbackDriver {
  return Object.freeze({ ...ops, name: checkedName('fence callback', ops.name), kind: 'fence-cb' as const });
}

/**
 * A callback to put on a fence; may be used again once it ran or was removed. It lives in the arena: whoever ends the fence
 * finds it, on any thread that has registered its code. @kernel dma_fence_cb
 */
export class FenceCallback {
  readonly machine: Machine;
  readonly ref: number;

  constructor(machine: Machine, ref: number) {
    this.machine = machine;
    this.ref = ref;
  }

  /**
   * Allocates a callback. Free it with {@link free}.
   * @param arg one word for the callback's own use.
   * @throws KernelError ENOMEM
   */
  static create(machine: Machine, driver: CallbackDriver, arg = 0): FenceCallback {
    const id = machine.drivers.id('fence-cb', driver.name);
    if (!machine.drivers.has('fence-cb', id)) machine.drivers.register('fence-cb', driver.name, driver);
    const slab = machine.slab(CallbackStruct);
    const ref = slab.alloc('dma_fence_cb');
    const p = slab.at(ref);
    CallbackStruct.func.set(machine.mem, p, id);
    CallbackStruct.task.set(machine.mem, p, machine.tid);
    CallbackStruct.arg.set(machine.mem, p, arg);
    return new FenceCallback(machine, ref);
  }

  /** The word given to {@link create}. */
  get arg(): number {
    return CallbackStruct.arg.get(this.machine.mem, this.#slab.at(this.ref));
  }

  set arg(value: number) {
    CallbackStruct.arg.set(this.machine.mem, this.#slab.at(this.ref), value);
  }

  /** Whether it is on a fence at the moment. */
  get isQueued(): boolean {
    return CallbackStruct.fence.load(this.machine.mem, this.#slab.at(this.ref)) !== 0;
  }

  /** Gives its memory back. @throws UsageError while it is on a fence: remove it first. */
  free(): void {
    if (this.isQueued) throw new UsageError('a callback that is on a fence cannot be freed: remove it first');
    this.#slab.free(this.ref, 'dma_fence_cb');
  }

  get #slab(): Slab {
    return this.machine.slab(CallbackStruct);
  }
}
