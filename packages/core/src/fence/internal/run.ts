import { atomicAdd, TaskKilled } from '@dmabuf-emu/shm';
import { type CallbackDriver, FenceCallback } from '../callback.ts';
import { CallbackStruct as C, FUNC_CLOSURE, FUNC_WAKE } from './layout.ts';
import { post, takeClosure } from './mailbox.ts';
import { makeEmpty } from './ring.ts';
import type { FenceTable } from './table.ts';

/**
 * Runs the callbacks of a ring that was set aside, in order, each taken off before it is called; the fence's lock is held.
 * @throws the first thing that one of them threw, after all of them ran.
 */
export function runCallbacks(t: FenceTable, ref: number, first: number): void {
  const errors: unknown[] = [];
  for (let cb = first; cb !== 0;) {
    const c = t.callbacks.at(cb);
    const next = C.next.get(t.mem, c);
    makeEmpty(t, c);
    try {
      call(t, ref, cb, c);
    } catch (error) {
      if (error instanceof TaskKilled) throw error;
      errors.push(error);
    }
    cb = next === first ? 0 : next;
  }
  if (errors.length > 0) throw errors[0];
}

function call(t: FenceTable, ref: number, cb: number, c: number): void {
  const { machine, mem } = t;
  const func = C.func.get(mem, c);
  const task = C.task.get(mem, c);
  if (func === FUNC_WAKE) {
    const event = C.arg.get(mem, c);
    atomicAdd(mem, event, 1);
    machine.wake(event);
  } else if (func !== FUNC_CLOSURE) {
    machine.drivers.get<CallbackDriver>('fence-cb', func).run(t.fence(ref), new FenceCallback(machine, cb));
  } else if (task === machine.tid) {
    takeClosure(t, cb)?.(t.fence(ref));
  } else post(t, ref, cb, c, task);
}
