import { atomicLoad, atomicStore, type Machine, type WordsField, words } from '@dmabuf-emu/shm';
import { File } from '../fd/file.ts';
import { PollHead } from '../fd/poll/poll-head.ts';
import { defineFenceCallback, FenceCallback } from './callback.ts';
import type { Fence } from './fence.ts';
import { CallbackStruct } from './internal/layout.ts';

/**
 * Words of the field: events to wake for while it is on a fence, word of the head, the callback, file to hold (0 for none),
 * task that it runs in.
 */
const ACTIVE = 0;
const HEAD = 1;
const CALLBACK = 2;
const FILE = 3;
const RUNNER = 4;
const WORDS = 5;

/** Field of a struct for a {@link PollCallback}. */
export const pollCallback = (): WordsField => words(WORDS);

/**
 * Wakes a {@link PollHead} when a fence ends. Made once, put on one fence after the other; every thread has its code. A handle
 * over a {@link pollCallback} field. @kernel dma_buf_poll_cb_t
 */
export class PollCallback {
  readonly machine: Machine;
  readonly at: number;

  /** @param at word of the field. */
  constructor(machine: Machine, at: number) {
    this.machine = machine;
    this.at = at;
  }

  /**
   * Makes the field ready for use.
   * @param file what is kept alive, with the fence, while the callback is on a fence; 0: the owner sees to that.
   * @throws KernelError ENOMEM
   */
  init(head: PollHead, file = 0): void {
    const { i32 } = this.machine.mem;
    i32[this.at + CALLBACK] = FenceCallback.create(this.machine, POLL_CALLBACK, this.at).ref;
    i32[this.at + HEAD] = head.at;
    i32[this.at + FILE] = file;
  }

  /** Frees what {@link init} made, if it was called. It must not be on a fence. */
  destroy(): void {
    if (this.callback !== 0) new FenceCallback(this.machine, this.callback).free();
    this.machine.mem.i32[this.at + CALLBACK] = 0;
  }

  /** Ref of the callback, 0 before {@link init}. */
  get callback(): number {
    return this.machine.mem.i32[this.at + CALLBACK]!;
  }

  /** Events that the head is woken for when the fence ends; 0 while the callback is on none. Under the head's lock. */
  get active(): number {
    return atomicLoad(this.machine.mem, this.at + ACTIVE);
  }

  set active(events: number) {
    atomicStore(this.machine.mem, this.at + ACTIVE, events);
  }

  /** Puts it on a fence; false when that has ended. @locks not the fence's */
  arm(fence: Fence): boolean {
    const holds = this.machine.mem.i32[this.at + FILE] !== 0;
    if (holds) fence.get();
    const armed = fence.addCallback(new FenceCallback(this.machine, this.callback));
    if (holds && !armed) fence.put();
    return armed;
  }

  /** Takes it off again. Nobody else may use it meanwhile. */
  cancel(fence: Fence): void {
    fence.removeCallback(new FenceCallback(this.machine, this.callback));
  }

  /** Takes a reference on the file that it holds, for the time it is on a fence. */
  holdFile(): void {
    File.of(this.machine, this.machine.mem.i32[this.at + FILE]!).get();
  }

  /** Wakes the head and lets go of the file, and of `fence` when it was on one. @kernel dma_buf_poll_cb */
  fire(fence?: Fence): void {
    const { machine, at } = this;
    const { i32 } = machine.mem;
    const head = new PollHead(machine, i32[at + HEAD]!, 'poll');
    const file = i32[at + FILE]!;
    i32[at + RUNNER] = machine.tid;
    head.withLock(() => {
      head.wakeLocked(this.active);
      i32[at + RUNNER] = 0;
      this.active = 0;
    });
    if (file === 0) return;
    fence?.put();
    File.of(machine, file).putAnywhere();
  }

  /** Does what a task that died in it has not done; the reference to the fence is lost. */
  finishFor(dead: number): void {
    if (this.machine.mem.i32[this.at + RUNNER] === dead) this.fire();
  }

  /** The file that it holds at the moment, 0 for none. For the machine's check. */
  get heldFile(): number {
    return this.heldFence === 0 ? 0 : this.machine.mem.i32[this.at + FILE]!;
  }

  /** Ref of the fence that it is on and that it holds, if it holds a file; 0 for none. For the machine's check. */
  get heldFence(): number {
    const { machine, at, callback } = this;
    const c = machine.mem.i32[at + FILE] === 0 ? 0 : machine.slab(CallbackStruct).tryAt(callback);
    return c === 0 ? 0 : CallbackStruct.fence.load(machine.mem, c);
  }
}

/** What all of them do. */
export const POLL_CALLBACK = defineFenceCallback({
  name: 'poll',
  run: (fence, callback) => new PollCallback(fence.machine, callback.arg).fire(fence),
});
