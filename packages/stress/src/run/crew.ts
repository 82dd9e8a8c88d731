import type { Worker } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { taskName, type RoleTask } from '../roles/role-task.ts';
import type { Actor, ActorEnd } from './actor.ts';

/** Workers always run built code, also when the run itself was loaded from its sources. */
const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? '../../dist/engine.worker.js' : '../engine.worker.js',
  import.meta.url,
);

class Player implements Actor {
  readonly plan: RoleTask['plan'];
  readonly taskName: string;
  readonly starts: number;
  readonly abort = new AbortController();
  readonly ended: Promise<ActorEnd>;
  end: ActorEnd | undefined;

  constructor(task: RoleTask, run: (task: RoleTask, signal: AbortSignal) => Promise<unknown>) {
    this.plan = task.plan;
    this.taskName = task.taskName;
    this.starts = task.starts;
    this.ended = this.#play(run(task, this.abort.signal));
  }

  async #play(running: Promise<unknown>): Promise<ActorEnd> {
    try {
      await running;
      this.end = { how: 'done' };
    } catch (error) {
      this.end = this.abort.signal.aborted ? { how: 'killed' } : { how: 'crashed', error };
    }
    return this.end;
  }
}

/** The worker threads of a run: one for each role, all started at once, replaced when they are killed. */
export class Crew implements AsyncDisposable {
  readonly #pool: Piscina<RoleTask, void>;
  readonly #common: Omit<RoleTask, 'plan' | 'taskName' | 'starts'>;
  readonly #players = new Map<number, Player>();
  readonly #exits = new WeakMap<Worker, Promise<void>>();

  /** @param threads roles that block at the same time: each needs a thread of its own. */
  constructor(threads: number, common: Omit<RoleTask, 'plan' | 'taskName' | 'starts'>) {
    this.#common = common;
    this.#pool = new Piscina<RoleTask, void>({
      filename: WORKER.href,
      minThreads: threads,
      maxThreads: threads,
      idleTimeout: Number.POSITIVE_INFINITY,
      atomics: 'disabled',
    });
    // Errors outside of a task end its thread; the role's promise tells of it.
    this.#pool.on('error', () => undefined);
  }

  /** Starts a role, or starts it again after its thread was killed. */
  start(plan: RoleTask['plan']): Actor {
    const starts = (this.#players.get(plan.role)?.starts ?? -1) + 1;
    const task = { ...this.#common, plan, starts, taskName: taskName(plan.name, starts) };
    const player = new Player(task, (given, signal) => this.#pool.run(given, { name: 'play', signal }));
    this.#players.set(plan.role, player);
    return player;
  }

  /** Who plays each role now, or played it last. */
  get actors(): readonly Actor[] {
    return [...this.#players.values()];
  }

  /**
   * Terminates the thread of a role where it stands, inside the kernel too; resolves when the thread has really stopped.
   * False when the role had ended by itself before.
   */
  async kill(actor: Actor): Promise<boolean> {
    const player = this.#players.get(actor.plan.role);
    if (player !== actor || player.end !== undefined) return false;
    const threads = this.#pool.threads.map((thread) => ({ thread, exit: this.#exitOf(thread) }));
    player.abort.abort();
    const end = await player.ended;
    if (end.how !== 'killed') return false;
    const kept = new Set(this.#pool.threads);
    await Promise.all(threads.filter(({ thread }) => !kept.has(thread)).map(({ exit }) => exit));
    return true;
  }

  #exitOf(thread: Worker): Promise<void> {
    let exit = this.#exits.get(thread);
    if (exit === undefined) {
      exit = new Promise((resolve) => void thread.once('exit', () => resolve()));
      this.#exits.set(thread, exit);
    }
    return exit;
  }

  /** Ends all threads, whatever they are doing. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.destroy();
  }
}
