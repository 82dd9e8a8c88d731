import { atomicExchange, atomicLoad, bitSpinDepth, TaskKilled, taskAt, taskIsRunning } from '@dmabuf-emu/shm';
import type { Fence } from '../fence.ts';
import { CallbackStruct as C, FUNC_CLOSURE } from './layout.ts';
import { eventWord, MAILBOX, takeClosure } from './mailbox.ts';
import { putFence } from './refs.ts';
import type { FenceTable } from './table.ts';

/** Makes a callback of a function of this thread. @throws KernelError ENOMEM */
export function makeClosure(t: FenceTable, fence: number, fn: (fence: Fence) => void): number {
  const cb = t.callbacks.alloc('dma_fence_cb');
  const c = t.callbacks.at(cb);
  C.func.set(t.mem, c, FUNC_CLOSURE);
  C.task.set(t.mem, c, t.machine.tid);
  t.closures.set(cb, { fence, fn });
  if (!t.pumping) startPump(t);
  return cb;
}

/** Runs what other tasks posted to this one, unless it is inside a spin lock; with other locks held, once they are dropped. */
export function enter(t: FenceTable): void {
  if (t.mem.i32[t.machine.taskAt + MAILBOX] !== 0) enterWithMail(t);
}

function enterWithMail(t: FenceTable): void {
  if (t.drainQueued || bitSpinDepth(t.machine) !== 0) return;
  t.drainQueued = true;
  t.machine.deferWork(() => {
    t.drainQueued = false;
    drain(t);
  });
}

/** Runs the closures in this task's mailbox, in the order they were posted. @throws the first thing that one of them threw. */
export function drain(t: FenceTable): void {
  const { mem, machine } = t;
  const posted: number[] = [];
  for (let cb = atomicExchange(mem, machine.taskAt + MAILBOX, 0); cb !== 0;) {
    posted.push(cb);
    cb = C.next.get(mem, t.callbacks.at(cb));
  }
  const errors: unknown[] = [];
  for (const cb of posted.toReversed()) {
    const fence = C.posted.get(mem, t.callbacks.at(cb));
    try {
      takeClosure(t, cb)?.(t.fence(fence));
    } catch (error) {
      if (error instanceof TaskKilled) throw error;
      errors.push(error);
    }
    putFence(t, fence);
  }
  if (errors.length > 0) throw errors[0];
}

/** Lets the event loop run posted closures as long as there are any to come. */
function startPump(t: FenceTable): void {
  t.pumping = true;
  queueMicrotask(() => void pump(t));
}

async function pump(t: FenceTable): Promise<void> {
  const { machine, mem } = t;
  const event = eventWord(t);
  try {
    while (t.closures.size > 0 && taskIsRunning(machine, machine.tid)) {
      const seen = atomicLoad(mem, event);
      enter(t);
      if (t.closures.size > 0) await machine.waitAsync(event, seen, 'dma_fence callbacks');
    }
  } finally {
    t.pumping = false;
    if (t.closures.size > 0 && taskIsRunning(machine, machine.tid)) startPump(t);
  }
}

/** Frees what waits in the mailbox of a task that is gone. */
export function dropMail(t: FenceTable, task: number): void {
  const { mem } = t;
  for (let cb = atomicExchange(mem, taskAt(task) + MAILBOX, 0); cb !== 0;) {
    const c = t.callbacks.at(cb);
    const next = C.next.get(mem, c);
    const fence = C.posted.get(mem, c);
    t.callbacks.free(cb, 'dma_fence_cb');
    putFence(t, fence);
    cb = next;
  }
}
