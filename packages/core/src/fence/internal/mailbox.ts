import { atomicAdd, atomicCas, atomicLoad, syncPoint, taskAt, TaskStruct } from '@dmabuf-emu/shm';
import type { Fence } from '../fence.ts';
import { CallbackStruct as C, REF, STATE } from './layout.ts';
import type { FenceTable } from './table.ts';

export const MAILBOX = TaskStruct.mailbox.at;
const EVENT = TaskStruct.mailEvent.at;

/** Frees a closure's callback, which is on no fence, and returns the function; undefined when it was cancelled before. */
export function takeClosure(t: FenceTable, cb: number): ((fence: Fence) => void) | undefined {
  const fn = t.closures.get(cb)?.fn;
  t.closures.delete(cb);
  t.callbacks.free(cb, 'dma_fence_cb');
  if (t.closures.size === 0 && t.pumping) nudge(t, t.machine.tid);
  return fn;
}

/** Hands the closure `cb`, just taken off `ref`, to the task that registered it; a reference to the fence goes with it. */
export function post(t: FenceTable, ref: number, cb: number, c: number, task: number): void {
  const { mem } = t;
  const box = taskAt(task) + MAILBOX;
  atomicAdd(mem, t.slab.at(ref) + STATE, REF);
  C.posted.set(mem, c, ref);
  syncPoint('fence.post', box);
  for (let head = atomicLoad(mem, box); ;) {
    C.next.set(mem, c, head);
    const old = atomicCas(mem, box, head, cb);
    if (old === head) break;
    head = old;
  }
  nudge(t, task);
}

/** Makes task `task` look at its mailbox. */
export function nudge(t: FenceTable, task: number): void {
  const event = taskAt(task) + EVENT;
  atomicAdd(t.mem, event, 1);
  t.machine.wake(event);
}

/** Word that counts up whenever something happens for the calling task. */
export function eventWord(t: FenceTable): number {
  return t.machine.taskAt + EVENT;
}
