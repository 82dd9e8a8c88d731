import { HEADER_AT, MachineHeader, TASK_DEAD, TASK_RUNNING, TaskStruct, taskAt } from '../machine/header.ts';
import type { Machine } from '../machine/machine.ts';
import { futexWake } from '../sync/futex.ts';
import { heldLocks, HELD_MUTEX, HELD_READ, HELD_WRITE, HELD_WW, type HeldLock } from '../sync/held.ts';
import { OWNER_DEAD } from '../sync/mutex.ts';
import { RWSEM_DEAD } from '../sync/rwsem.ts';
import { spinLock, spinUnlock } from '../sync/spin.ts';
import { nextWaiter, removeWaiter, wakeWaiter, WW_FIRST, WW_WAIT_LOCK } from '../sync/ww-waiters.ts';
import { WW_DEAD, WW_OWNER_SHIFT } from '../sync/ww-mutex.ts';

const T = TaskStruct;

/** What a dead task left behind. */
export interface ReapReport {
  readonly task: number;
  readonly name: string;
  /** Locks that it held inside the kernel: their waiters get EOWNERDEAD from now on. */
  readonly lostLocks: readonly string[];
}

/**
 * Cleans up after a thread that ended without leaving, wherever it was: marks the locks it held owner-dead and wakes their
 * waiters, takes it out of wait queues, runs the subsystems' reap hooks and returns its free slots.
 * Must run on another task, after the thread has really stopped.
 */
export function reapTask(machine: Machine, id: number, hooks: readonly ((task: number) => void)[]): ReapReport {
  const { mem } = machine;
  const p = taskAt(id);
  const name = machine.taskName(id);
  if (id === machine.tid || T.state.load(mem, p) !== TASK_RUNNING) return { task: id, name, lostLocks: [] };
  MachineHeader.deaths.add(mem, HEADER_AT, 1);
  T.state.store(mem, p, TASK_DEAD);
  const spins = T.spinDepth.get(mem, p);
  for (let n = 0; n < spins; n++) {
    Atomics.and(mem.i32, T.spins.get(mem, p, 2 * n), ~T.spins.get(mem, p, 2 * n + 1));
    futexWake(machine, T.spins.get(mem, p, 2 * n));
  }
  const queued = T.wwLock.get(mem, p);
  if (queued !== 0) {
    spinLock(machine, queued + WW_WAIT_LOCK);
    removeWaiter(machine, queued, id);
    spinUnlock(machine, queued + WW_WAIT_LOCK);
  }
  const lost = heldLocks(machine, p).filter((lock) => !lock.asked && markDead(machine, lock, id));
  T.sleepAt.store(mem, p, 0);
  if (lost.length > 0 || spins !== 0) MachineHeader.taint.or(mem, HEADER_AT, 1);
  machine.diag.info(
    'task-died',
    `task ${id} (${name}) died${lost.length > 0 ? ` holding ${lost.map((l) => l.lockClass).join(', ')}` : ''}`,
  );
  for (const hook of hooks) hook(id);
  for (const slab of machine.allSlabs()) slab.drainMagazine(id);
  return { task: id, name, lostLocks: lost.map((lock) => lock.lockClass) };
}

function markDead(machine: Machine, lock: HeldLock, id: number): boolean {
  const { i32 } = machine.mem;
  const word = Atomics.load(i32, lock.at);
  switch (lock.kind) {
    case HELD_MUTEX:
      if (word >>> 2 !== id) return false;
      Atomics.or(i32, lock.at, OWNER_DEAD);
      futexWake(machine, lock.at);
      return true;
    case HELD_READ:
    case HELD_WRITE:
      Atomics.or(i32, lock.at, RWSEM_DEAD);
      futexWake(machine, lock.at);
      return true;
    case HELD_WW:
      if (word >>> WW_OWNER_SHIFT !== id) return false;
      spinLock(machine, lock.at + WW_WAIT_LOCK);
      Atomics.or(i32, lock.at, WW_DEAD);
      for (let waiter = i32[lock.at + WW_FIRST]!; waiter !== 0; waiter = nextWaiter(machine, waiter))
        wakeWaiter(machine, waiter);
      spinUnlock(machine, lock.at + WW_WAIT_LOCK);
      return true;
  }
}
