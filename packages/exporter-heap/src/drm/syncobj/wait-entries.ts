import { type CallbackDriver, defineFenceCallback, Fence, FenceCallback } from '@dmabuf-emu/core';
import { atomicAdd, atomicLoad, type Machine, taskAt, TaskStruct } from '@dmabuf-emu/shm';
import { FencePlace } from './fence-place.ts';
import { SyncobjStruct as S, WaitEntryStruct as W } from './syncobj-struct.ts';

/** Wakes the task that waits. @kernel syncobj_wait_fence_func */
export const syncobjWake: CallbackDriver = defineFenceCallback({
  name: 'drm_syncobj_wait',
  run: ({ machine }, callback) => wakeWord(machine, callback.arg),
});

/** Word of the calling task that counts up whenever something that it waits for has changed. */
export function eventWord(machine: Machine): number {
  return machine.taskAt + TaskStruct.mailEvent.at;
}

function wakeTask(machine: Machine, task: number): void {
  if (task !== 0) wakeWord(machine, taskAt(task) + TaskStruct.mailEvent.at);
}

function wakeWord(machine: Machine, at: number): void {
  atomicAdd(machine.mem, at, 1);
  machine.wake(at);
}

/** What the calling task waits for: a point of a sync object. @kernel syncobj_wait_entry */
export class WaitEntry {
  readonly machine: Machine;
  readonly ref: number;
  readonly #p: number;

  constructor(machine: Machine, ref: number) {
    this.machine = machine;
    this.ref = ref;
    this.#p = machine.slab(W).at(ref);
  }

  /** Takes over the caller's reference to the object. @throws KernelError ENOMEM; the caller keeps it then */
  static create(syncobj: FencePlace, point: number): WaitEntry {
    const { machine } = syncobj;
    const { mem } = machine;
    const slab = machine.slab(W);
    const callback = FenceCallback.create(machine, syncobjWake, eventWord(machine));
    let ref: number;
    try {
      ref = slab.alloc('syncobj_wait_entry');
    } catch (error) {
      callback.free();
      throw error;
    }
    const p = slab.at(ref);
    W.callback.set(mem, p, callback.ref);
    W.point.set(mem, p, point);
    W.syncobj.set(mem, p, syncobj.ref);
    W.task.set(mem, p, machine.tid);
    return new WaitEntry(machine, ref);
  }

  get syncobj(): FencePlace {
    return new FencePlace(this.machine, W.syncobj.get(this.machine.mem, this.#p));
  }

  get point(): number {
    return W.point.get(this.machine.mem, this.#p);
  }

  /** What has to signal; undefined until it is known. */
  get fence(): Fence | undefined {
    const ref = W.fence.load(this.machine.mem, this.#p);
    return ref === 0 ? undefined : Fence.of(this.machine, ref);
  }

  get callback(): FenceCallback {
    return new FenceCallback(this.machine, W.callback.get(this.machine.mem, this.#p));
  }

  /** Whether the point has been submitted; then its fence is known from now on. */
  look(): boolean {
    const fence = this.syncobj.findPoint(this.point);
    if (fence === undefined) return false;
    W.fence.store(this.machine.mem, this.#p, fence);
    return true;
  }

  /** Puts it on the object's list unless its fence is known. @kernel drm_syncobj_fence_add_wait */
  list(): void {
    const { machine, syncobj } = this;
    const { mem } = machine;
    if (this.fence !== undefined) return;
    syncobj.withLock(() => {
      if (this.look()) return;
      let link = syncobj.p + S.waits.at;
      while (mem.i32[link] !== 0) link = machine.slab(W).at(mem.i32[link]!) + W.next.at;
      W.listed.set(mem, this.#p, 1);
      mem.i32[link] = this.ref;
    });
  }

  /** It is on no list any more; wakes the task. @locks the object's lock held */
  unlisted(): void {
    W.listed.set(this.machine.mem, this.#p, 0);
    wakeTask(this.machine, W.task.get(this.machine.mem, this.#p));
  }

  /**
   * Takes it off everything and frees it; the reference to the object is the caller's now. Whoever dies in here leaves damage,
   * but nothing that is given back twice. @kernel drm_syncobj_remove_wait
   */
  free(): void {
    const { machine, syncobj, callback } = this;
    const { mem } = machine;
    W.task.set(mem, this.#p, 0);
    syncobj.withLock(() => {
      if (W.listed.get(mem, this.#p) !== 0) unlinkWaits(syncobj, (entry) => entry.ref === this.ref);
    });
    // Until it was off the list, somebody else could still put a fence there.
    const { fence } = this;
    fence?.removeCallback(callback);
    W.fence.store(mem, this.#p, 0);
    fence?.put();
    W.callback.set(mem, this.#p, 0);
    callback.free();
    machine.slab(W).free(this.ref, 'syncobj_wait_entry');
  }
}

/** Tells those whose point has come. @locks the object's lock held @kernel syncobj_wait_syncobj_func */
export function submitToWaits(syncobj: FencePlace): void {
  unlinkWaits(syncobj, (entry) => entry.look());
}

/** Takes entries off the list that `leaves` says yes to. @locks the object's lock held */
function unlinkWaits({ machine, p }: FencePlace, leaves: (entry: WaitEntry) => boolean): void {
  const { mem } = machine;
  let link = p + S.waits.at;
  for (let ref = atomicLoad(mem, link); ref !== 0; ref = mem.i32[link]!) {
    const next = machine.slab(W).at(ref) + W.next.at;
    const entry = new WaitEntry(machine, ref);
    if (!leaves(entry)) {
      link = next;
      continue;
    }
    mem.i32[link] = mem.i32[next]!;
    entry.unlisted();
  }
}

/** Has every task that waits look again; those of task `dead` are returned. Other tasks go on meanwhile. */
export function reapEntries(machine: Machine, dead: number): WaitEntry[] {
  const slab = machine.slab(W);
  const orphans: WaitEntry[] = [];
  for (const ref of slab.live()) {
    const p = slab.tryAt(ref);
    const task = p === 0 ? 0 : W.task.get(machine.mem, p);
    if (task === dead) orphans.push(new WaitEntry(machine, ref));
    else wakeTask(machine, task);
  }
  return orphans;
}

/** What each entry holds, 0 for nothing, on a quiet machine. */
export function* waitEntries(machine: Machine): Generator<{ syncobj: number; fence: number; callback: number }> {
  const { mem } = machine;
  for (const ref of machine.slab(W).live()) {
    const p = machine.slab(W).at(ref);
    yield { syncobj: W.syncobj.get(mem, p), fence: W.fence.get(mem, p), callback: W.callback.get(mem, p) };
  }
}
