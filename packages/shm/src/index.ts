export { ERRNO, errnoName, type ErrnoName } from './errors/errno.ts';
export { isKernelError, KernelBug, KernelError, TaskKilled, UsageError } from './errors/kernel-error.ts';
export { Mem, type MemHandle } from './memory/mem.ts';
export {
  atomicAdd,
  atomicAnd,
  atomicCas,
  atomicExchange,
  atomicLoad,
  atomicOr,
  atomicStore,
  atomicSub,
} from './arena/atomics.ts';
export { atomicAdd64, atomicCas64, atomicExchange64 } from './arena/atomics64.ts';
export { Field, F64Field, I32Field, LockField, WordsField } from './arena/field.ts';
export {
  completion,
  i32,
  mutex,
  ref,
  refcount,
  rwsem,
  struct,
  u53,
  waitqueue,
  words,
  wwmutex,
  type Struct,
  type StructInfo,
} from './arena/declare.ts';
export { Arena } from './arena/arena.ts';
export { INDEX_MASK, Slab } from './arena/slab.ts';
export { kmemSlab } from './arena/kmem.ts';
export { isSyncHooked, setSyncHook, syncPoint, type SyncHook } from './sync/sync-point.ts';
export { FOREVER, WAIT_INTERRUPTED, WAIT_NOT_EQUAL, WAIT_OK, WAIT_TIMED_OUT, type WaitResult } from './sync/futex.ts';
export { withSpin } from './sync/with-spin.ts';
export { SpinBudget } from './sync/spin-budget.ts';
export { bitSpinDepth, bitSpinHeld, bitSpinLock, bitSpinUnlock, spinLock, spinUnlock } from './sync/spin.ts';
export { Mutex, mutexOf } from './sync/mutex.ts';
export { RwSemaphore, rwsemOf } from './sync/rwsem.ts';
export { RESERVATION_WW_CLASS, WwAcquireCtx, wwClass, type WwAlgorithm, type WwClass } from './sync/ww-ctx.ts';
export { WwMutex, wwMutexOf } from './sync/ww-mutex.ts';
export { Completion, completionOf, type WaitOptions } from './sync/completion.ts';
export { WaitQueue, waitQueueOf } from './sync/wait-queue.ts';
export { refDec, refInc, refIncNotZero } from './sync/refcount.ts';
export { heldCount, type HeldLock } from './sync/held.ts';
export { type TaskInfo } from './task/tasks.ts';
export { orUndo } from './task/or-undo.ts';
export { type ReapReport } from './task/reap.ts';
export { Lockdep } from './debug/lockdep.ts';
export { Diagnostics, type DiagKind, type DiagRecord, type Violation } from './debug/diagnostics.ts';
export { FaultInjector } from './debug/faults.ts';
export { Trace, type TraceEvent } from './debug/trace-ring.ts';
export { taskIsDead, taskIsRunning, VerifyBuilder, type VerifyReport } from './debug/verify.ts';
export { Clock } from './machine/clock.ts';
export { Drivers } from './machine/drivers.ts';
export { MAX_TASKS, taskAt, TaskStruct } from './machine/header.ts';
export { Machine, type MachineHandle } from './machine/machine.ts';
export { KERNELS, type KernelProfile, type MachineOptions, type ResolvedOptions } from './machine/options.ts';
export { defineQuirks, type Quirk, QuirkTable } from './machine/quirks.ts';
export { Random } from './machine/random.ts';
export { Timers, type TimerOps } from './machine/timers.ts';
