import { Arena } from '../arena/arena.ts';
import { Slab } from '../arena/slab.ts';
import type { StructInfo } from '../arena/struct.ts';
import { Diagnostics } from '../debug/diagnostics.ts';
import { FaultInjector } from '../debug/faults.ts';
import { Lockdep } from '../debug/lockdep.ts';
import { Trace } from '../debug/trace-ring.ts';
import { verifyMachine, type VerifyBuilder, type VerifyReport } from '../debug/verify.ts';
import { TaskKilled, UsageError } from '../errors/kernel-error.ts';
import { Mem, type MemHandle } from '../memory/mem.ts';
import { isWasmMemory } from '../memory/wasm-host.ts';
import { FOREVER, futexWait, futexWaitAsync, futexWake, type WaitResult } from '../sync/futex.ts';
import { heldCount } from '../sync/held.ts';
import { bitSpinDepth } from '../sync/spin.ts';
import { SpinBudget } from '../sync/spin-budget.ts';
import { reapTask, type ReapReport } from '../task/reap.ts';
import { claimTask, interruptTask, listTasks, type TaskInfo } from '../task/tasks.ts';
import { Clock } from './clock.ts';
import { Drivers } from './drivers.ts';
import { ARENA_AT, HEADER_AT, MachineHeader, MAGIC, TASK_FREE, TaskStruct, taskAt } from './header.ts';
import { resolveOptions, type MachineOptions, type ResolvedOptions } from './options.ts';
import { Timers } from './timers.ts';

const H = MachineHeader;
const OPTIONS_BLOB = 'machine.options';

/** What another thread needs to join; can be structured-cloned (workerData, postMessage). */
export interface MachineHandle {
  readonly schema: 'dmabuf-emu/machine@1';
  readonly memory: MemHandle;
}

/**
 * One emulated computer, seen by one thread. Made by {@link Machine.create} on one thread and by {@link Machine.join} on the
 * others; each of these is a *task* of the machine. All of them run the same kernel code on the same shared memory.
 */
export class Machine implements Disposable {
  readonly mem: Mem;
  readonly options: ResolvedOptions;
  /** Id of the calling thread's task, from 1. */
  readonly tid: number;
  /** Word of the calling thread's task record. */
  readonly taskAt: number;
  readonly arena: Arena;
  readonly diag: Diagnostics;
  readonly clock: Clock;
  readonly faults: FaultInjector;
  readonly lockdep: Lockdep;
  readonly trace: Trace;
  readonly drivers: Drivers;
  readonly timers: Timers;
  readonly spin: SpinBudget = new SpinBudget();
  readonly #slabs = new Map<string, Slab>();
  readonly #slabOf = new WeakMap<StructInfo, Slab>();
  readonly #locals = new Map<symbol, unknown>();
  readonly #reapHooks = new Map<string, (task: number) => void>();
  readonly #leaveHooks = new Map<string, () => void>();
  readonly #verifyHooks = new Map<string, (report: VerifyBuilder) => void>();
  /** True while {@link deferWork} has work that has not run. */
  hasDeferredWork = false;
  /** True while {@link irqWork} has work that has not run. */
  hasIrqWork = false;
  #deferred: (() => void)[] = [];
  #flushing = false;
  #irqWork: (() => void)[] = [];
  #inIrqWork = false;
  #left = false;

  private constructor(mem: Mem, name: string, options?: ResolvedOptions) {
    this.mem = mem;
    this.tid = claimTask(mem);
    this.taskAt = taskAt(this.tid);
    this.arena = new Arena(this);
    if (options !== undefined) this.arena.setBlob(OPTIONS_BLOB, new TextEncoder().encode(JSON.stringify(options)));
    this.options = options ?? (JSON.parse(new TextDecoder().decode(this.arena.blob(OPTIONS_BLOB))) as ResolvedOptions);
    TaskStruct.name.set(mem, this.taskAt, this.arena.intern(name));
    this.clock = new Clock(this);
    this.diag = new Diagnostics(this);
    this.faults = new FaultInjector(this);
    this.lockdep = new Lockdep(this);
    this.trace = new Trace(this);
    this.drivers = new Drivers(this);
    this.timers = new Timers(this);
  }

  /**
   * Makes a machine and joins it. Memory is reserved at once and committed by the host on first touch.
   * @throws UsageError for an option out of range, or memory that the host refuses; nothing is left behind.
   */
  static create(given: MachineOptions & { name?: string } = {}): Machine {
    const { name = 'main', ...rest } = given;
    const options = resolveOptions(rest);
    const mem = Mem.reserve(options.arenaBytes + options.memoryBytes, options.movers);
    H.brk.set(mem, HEADER_AT, ARENA_AT);
    H.limit.set(mem, HEADER_AT, options.arenaBytes / 4);
    H.clockManual.set(mem, HEADER_AT, options.clock === 'manual' ? 1 : 0);
    H.clockOrigin.set(mem, HEADER_AT, performance.timeOrigin + performance.now());
    H.traceWords.set(mem, HEADER_AT, options.traceEvents);
    H.magic.store(mem, HEADER_AT, MAGIC);
    return new Machine(mem, name, options);
  }

  /**
   * Joins the machine behind `handle` as a new task of the calling thread.
   * @throws UsageError when `handle` is not a machine's handle; KernelError EAGAIN when all task slots are taken.
   */
  static join(handle: MachineHandle, { name = 'worker' }: { name?: string } = {}): Machine {
    const memory: unknown = handle?.memory;
    if (!(memory instanceof SharedArrayBuffer) && !isWasmMemory(memory)) {
      throw new UsageError(
        'Machine.join expects the handle property of a machine (structured-cloned), got something else',
      );
    }
    const mem = new Mem(memory);
    if (H.magic.load(mem, HEADER_AT) !== MAGIC) {
      throw new UsageError('Machine.join: the memory of this handle holds no machine of this version');
    }
    return new Machine(mem, name);
  }

  get handle(): MachineHandle {
    return { schema: 'dmabuf-emu/machine@1', memory: this.mem.handle };
  }

  /** Byte offset of the backing of physical memory, and its size. */
  get memoryBase(): number {
    return this.options.arenaBytes;
  }

  get memoryBytes(): number {
    return this.options.memoryBytes;
  }

  /** Whether the behaviour `name` is switched on. */
  quirk(name: string): boolean {
    return this.options.quirks.includes(name);
  }

  /** True once a task died inside the kernel or a BUG was hit. */
  get tainted(): boolean {
    return H.taint.load(this.mem, HEADER_AT) !== 0;
  }

  /** The slab of a struct; the same one in every thread. @throws UsageError when the struct's size differs between threads. */
  slab(declared: StructInfo): Slab {
    const known = this.#slabOf.get(declared);
    if (known !== undefined) return known;
    const key = `${declared.$name}:${declared.$words}`;
    let slab = this.#slabs.get(key);
    if (slab === undefined) this.#slabs.set(key, (slab = new Slab(this, declared)));
    this.#slabOf.set(declared, slab);
    return slab;
  }

  /** Every slab of the machine, those of other threads included. */
  allSlabs(): Slab[] {
    return this.arena.rootNames('slab:').map((name) => {
      const [, $name, words] = name.split(':') as [string, string, string];
      return this.slab({ $name, $words: Number(words), $fields: [], $dump: () => ({}) });
    });
  }

  root(name: string, count: number): number {
    return this.arena.root(name, count);
  }

  intern(text: string): number {
    return this.arena.intern(text);
  }

  string(id: number): string {
    return this.arena.string(id);
  }

  setBlob(name: string, bytes: Uint8Array): void {
    this.arena.setBlob(name, bytes);
  }

  blob(name: string): Uint8Array | undefined {
    return this.arena.blob(name);
  }

  /** Runs `fn` exactly once per machine; other threads wait until it is done. When it throws, the next caller runs it. */
  once(name: string, fn: () => void): void {
    const at = this.root(`init:${name}`, 16);
    while (Atomics.compareExchange(this.mem.i32, at, 0, 1) !== 0) {
      if (Atomics.load(this.mem.i32, at) === 2) return;
      futexWait(this, at, 1, FOREVER, false, `once ${name}`);
    }
    let after = 2;
    try {
      fn();
    } catch (error) {
      after = error instanceof TaskKilled ? 1 : 0;
      throw error;
    } finally {
      Atomics.store(this.mem.i32, at, after);
      futexWake(this, at);
    }
  }

  /** This thread's own object for `key`, made on first use. */
  local<T>(key: symbol, make: () => T): T {
    if (!this.#locals.has(key)) this.#locals.set(key, make());
    return this.#locals.get(key) as T;
  }

  /** Name that task `id` joined with. */
  taskName(id: number): string {
    return this.string(TaskStruct.name.get(this.mem, taskAt(id)));
  }

  tasks(): TaskInfo[] {
    return listTasks(this);
  }

  get signalPending(): boolean {
    return TaskStruct.signal.load(this.mem, this.taskAt) !== 0;
  }

  /** Sends task `id` a signal: its interruptible waits end with EINTR or ERESTARTSYS until it calls {@link clearSignal}. */
  interrupt(id: number): void {
    interruptTask(this, id);
  }

  clearSignal(): void {
    TaskStruct.signal.store(this.mem, this.taskAt, 0);
  }

  /** Moves the task's progress counter on, which hang detection watches. */
  progress(): void {
    this.mem.i32[this.taskAt + TaskStruct.progress.at]! += 1;
  }

  /** The one place that blocks: see {@link futexWait}. */
  wait(at: number, expected: number, label: string, timeoutMs: number = FOREVER, interruptible = false): WaitResult {
    return futexWait(this, at, expected, timeoutMs, interruptible, label);
  }

  wake(at: number, count?: number): number {
    return futexWake(this, at, count);
  }

  waitAsync(at: number, expected: number, label: string, timeoutMs: number = FOREVER): Promise<WaitResult> {
    return futexWaitAsync(this, at, expected, timeoutMs, label);
  }

  /** Runs `fn` once the task holds no lock: at once when it holds none. @kernel task_work_add */
  deferWork(fn: () => void): void {
    this.#deferred.push(fn);
    this.hasDeferredWork = true;
    if (bitSpinDepth(this) === 0) this.flushWork();
    else this.hasIrqWork = true;
  }

  /** Runs deferred work if the task holds no lock and is not doing so already. */
  flushWork(): void {
    if (this.#flushing || this.#inIrqWork || heldCount(this) !== 0 || bitSpinDepth(this) !== 0) return;
    this.#flushing = true;
    try {
      for (let fn = this.#deferred.shift(); fn !== undefined; fn = this.#deferred.shift()) fn();
    } finally {
      this.#flushing = false;
      this.hasDeferredWork = this.#deferred.length > 0;
    }
  }

  /**
   * Runs `fn` once the task holds no bit lock, whatever sleeping locks it holds: at once when it holds none. In the order
   * queued, never inside each other. `fn` must not sleep.
   * @kernel irq_work_queue
   */
  irqWork(fn: () => void): void {
    this.#irqWork.push(fn);
    this.hasIrqWork = true;
    if (bitSpinDepth(this) === 0) this.runIrqWork();
  }

  /** What freeing the last bit lock does. @throws the first thing that a piece of work threw, after all of them ran. */
  runIrqWork(): void {
    if (this.#inIrqWork) return;
    this.#inIrqWork = true;
    const errors: unknown[] = [];
    // The list grows while it runs.
    for (let i = 0; i < this.#irqWork.length; i++) {
      try {
        this.#irqWork[i]!();
      } catch (error) {
        if (error instanceof TaskKilled) throw error;
        errors.push(error);
      }
    }
    this.#irqWork.length = 0;
    this.#inIrqWork = false;
    this.hasIrqWork = false;
    if (this.hasDeferredWork) this.flushWork();
    if (errors.length > 0) throw errors[0];
  }

  /** Adds a hook that cleans up what a dead task owned; runs on the reaping task. Replaces one of the same name. */
  onReap(name: string, hook: (task: number) => void): void {
    this.#reapHooks.set(name, hook);
  }

  /** Adds a hook that ends what the calling task owns when it leaves; newest first. Replaces one of the same name. @kernel do_exit */
  onLeave(name: string, hook: () => void): void {
    this.#leaveHooks.set(name, hook);
  }

  /** Adds a check to {@link verify}. Replaces one of the same name. */
  onVerify(name: string, hook: (report: VerifyBuilder) => void): void {
    this.#verifyHooks.set(name, hook);
  }

  /** Cleans up after a thread that ended without {@link leave}: see {@link reapTask}. */
  reap(task: number): ReapReport {
    return reapTask(this, task, [...this.#reapHooks.values()]);
  }

  /** Checks the whole machine: see {@link verifyMachine}. */
  verify(): VerifyReport {
    return verifyMachine(this, this.#verifyHooks);
  }

  /** Leaves the machine; the thread's task ends. Holding locks is a diagnostic. Calling it twice does nothing. */
  leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.flushWork();
    for (const hook of [...this.#leaveHooks.values()].toReversed()) hook();
    this.flushWork();
    if (heldCount(this) !== 0)
      this.diag.lockdep('leave-holding', `task ${this.tid} leaves with ${heldCount(this)} locks held`);
    for (const slab of this.#slabs.values()) slab.drainMagazine(this.tid);
    TaskStruct.state.store(this.mem, this.taskAt, TASK_FREE);
  }

  [Symbol.dispose](): void {
    this.leave();
  }
}
