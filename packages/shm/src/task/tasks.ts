import { KernelError } from '../errors/kernel-error.ts';
import { MAX_TASKS, TASK_DEAD, TASK_FREE, TASK_RUNNING, TaskStruct, taskAt } from '../machine/header.ts';
import type { Machine } from '../machine/machine.ts';
import type { Mem } from '../memory/mem.ts';
import { kick } from '../sync/futex.ts';
import { heldLocks, HELD_MUTEX, HELD_WRITE, HELD_WW, type HeldLock } from '../sync/held.ts';
import { WW_OWNER_SHIFT } from '../sync/ww-mutex.ts';

const T = TaskStruct;

/** A joined thread, for reports. */
export interface TaskInfo {
  readonly id: number;
  readonly name: string;
  readonly state: 'running' | 'sleeping' | 'dead';
  /** What it sleeps for, and the task that holds it when that is a lock. */
  readonly waitingFor?: { readonly label: string; readonly holder?: number };
  readonly holds: readonly HeldLock[];
  /** Counter that the task moves on with its work, for hang detection. */
  readonly progress: number;
}

/** Claims a free task slot for the calling thread. @throws KernelError EAGAIN when all are taken. */
export function claimTask(mem: Mem): number {
  for (const reuse of [TASK_FREE, TASK_DEAD]) {
    for (let id = 1; id <= MAX_TASKS; id++) {
      const p = taskAt(id);
      if (T.state.cas(mem, p, reuse, TASK_RUNNING) !== reuse) continue;
      const trace = T.traceAt.get(mem, p);
      mem.i32.fill(0, p + T.name.at, p + T.$words);
      T.traceAt.set(mem, p, trace);
      return id;
    }
  }
  throw new KernelError('EAGAIN', 'join', `all ${MAX_TASKS} task slots are taken`);
}

/** Every joined task, by id. */
export function listTasks(machine: Machine): TaskInfo[] {
  const { mem } = machine;
  const tasks: TaskInfo[] = [];
  for (let id = 1; id <= MAX_TASKS; id++) {
    const p = taskAt(id);
    const state = T.state.load(mem, p);
    if (state === TASK_FREE) continue;
    const at = T.sleepAt.load(mem, p);
    const label = machine.string(T.sleepLabel.get(mem, p));
    const lock = T.wwLock.load(mem, p);
    const holder = at === 0 ? undefined : holderOf(machine, lock !== 0 ? lock : at, lock !== 0);
    tasks.push({
      id,
      name: machine.taskName(id),
      state: state === TASK_DEAD ? 'dead' : at !== 0 ? 'sleeping' : 'running',
      ...(at === 0 || state === TASK_DEAD ? {} : { waitingFor: holder === undefined ? { label } : { label, holder } }),
      holds: heldLocks(machine, p).filter((lockHeld) => !lockHeld.asked && lockHeld.at !== at && lockHeld.at !== lock),
      progress: T.progress.get(mem, p),
    });
  }
  return tasks;
}

/** The task that some record names as holder of the lock at `at`. */
function holderOf(machine: Machine, at: number, ww: boolean): number | undefined {
  if (ww) return Atomics.load(machine.mem.i32, at) >>> WW_OWNER_SHIFT || undefined;
  for (let id = 1; id <= MAX_TASKS; id++) {
    const p = taskAt(id);
    if (T.state.load(machine.mem, p) === TASK_FREE || T.sleepAt.load(machine.mem, p) === at) continue;
    const held = heldLocks(machine, p).some(
      (lock) => lock.at === at && !lock.asked && [HELD_MUTEX, HELD_WRITE, HELD_WW, 1].includes(lock.kind),
    );
    if (held) return id;
  }
  return undefined;
}

/** Sends the task a signal: its interruptible waits end. @kernel wake_up_interruptible, signal_pending */
export function interruptTask(machine: Machine, id: number): void {
  const p = taskAt(id);
  T.signal.store(machine.mem, p, 1);
  if (id !== machine.tid) kick(machine, p);
}
