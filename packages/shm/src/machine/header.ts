import { i32, struct, u53, words } from '../arena/declare.ts';

/** Identifies a machine's memory; the low byte is the layout's version. */
export const MAGIC = 0x44424d01;
export const STRING_BUCKETS = 256;
/** Most tasks that can be joined at one time. */
export const MAX_TASKS = 1023;
/** Most locks that one task can hold at one time. */
export const MAX_HELD = 32;
/** Most bit locks that one task can hold at one time. */
export const MAX_SPINS = 8;

/** The machine's root: everything else is found from here. Lives at word {@link HEADER_AT}. */
export const MachineHeader = struct('machine', {
  magic: i32(),
  /** Next free word of the arena, and the first word behind it. */
  brk: i32(),
  limit: i32(),
  arenaLock: i32(),
  rootHead: i32(),
  blobHead: i32(),
  buckets: words(STRING_BUCKETS),
  /** Set once something died inside the kernel (1) or a BUG was hit (2). */
  taint: i32(),
  clockManual: i32(),
  clockSeq: i32(),
  clockNs: u53(),
  clockOrigin: u53(),
  /** In thousandths; 0 means 1. */
  clockStretch: i32(),
  faultMode: i32(),
  faultLeft: i32(),
  faultSite: i32(),
  faultRate: i32(),
  faultSeed: i32(),
  faultsInjected: i32(),
  wwFaults: i32(),
  diagSeq: i32(),
  traceWords: i32(),
  deaths: i32(),
});

/** Word of the machine header. */
export const HEADER_AT = 16;

export const TASK_FREE = 0;
export const TASK_RUNNING = 1;
export const TASK_DEAD = 2;

/** A joined thread's kernel context. Task id `t` (1-based) has slot `t - 1`. */
export const TaskStruct = struct('task', {
  state: i32(),
  name: i32(),
  process: i32(),
  signal: i32(),
  /** Word the task sleeps on (0: runs), label of that sleep, number of sleeps ended. */
  sleepAt: i32(),
  sleepLabel: i32(),
  sleepSeq: i32(),
  /** Bit locks held, for the reaper: how many, and pairs of word and bit. */
  spinDepth: i32(),
  spins: words(MAX_SPINS * 2),
  deadlineNs: u53(),
  heldCount: i32(),
  held: words(MAX_HELD * 2),
  /** ww_mutex waiter node: a task waits for one lock at a time. */
  wwEvent: i32(),
  wwNext: i32(),
  wwPrev: i32(),
  wwLock: i32(),
  wwCtx: i32(),
  wwStamp: i32(),
  /** Lists of work for this task, owned by higher layers: head word and event word. */
  mailbox: i32(),
  mailEvent: i32(),
  traceAt: i32(),
  progress: i32(),
  spare: words(8),
});

/** Word of the first task slot. */
export const TASKS_AT = Math.ceil((HEADER_AT + MachineHeader.$words) / 16) * 16;

/** First word that the bump allocator hands out. */
export const ARENA_AT = Math.ceil((TASKS_AT + TaskStruct.$words * MAX_TASKS) / 16) * 16;

/** Word of task `id`'s slot. */
export function taskAt(id: number): number {
  return TASKS_AT + (id - 1) * TaskStruct.$words;
}
