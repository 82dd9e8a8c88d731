import type { PciSystem } from '@dmabuf-emu/pci-iommu';
import { Random, type Machine } from '@dmabuf-emu/shm';
import type { EnginePlan } from '../plan/run-plan.ts';
import type { Board } from '../board/board.ts';
import { ROLE_ENDED } from '../board/role-record.ts';
import type { CasualtyResult } from '../result/stress-result.ts';
import { isController } from '../roles/role-task.ts';
import { Timeline } from '../roles/timeline.ts';
import type { Actor } from './actor.ts';
import type { Crew } from './crew.ts';

/** What a kill needs to know. */
export interface KillerOptions {
  readonly machine: Machine;
  readonly pci: PciSystem;
  readonly board: Board;
  readonly crew: Crew;
  readonly seed: number;
  /** Kills a second. */
  readonly rate: number;
}

/** Terminates importer threads at random moments, inside the kernel too, cleans up after them and starts others. */
export class Killer {
  readonly casualties: CasualtyResult[] = [];
  readonly #options: KillerOptions;
  readonly #random: Random;
  readonly #timeline: Timeline<'kill'>;
  readonly #startMs: number;
  /** The kill that is under way: one at a time, since cleaning up after a task may have to wait for others to get on. */
  #pending: Promise<void> | undefined;
  #failure: unknown;

  constructor(options: KillerOptions) {
    this.#options = options;
    this.#random = new Random(options.seed).fork('kill');
    this.#startMs = options.machine.clock.nowMs();
    this.#timeline = new Timeline([{ what: 'kill', rate: options.rate }], this.#random, this.#startMs);
  }

  /** Milliseconds until the next kill is due. */
  get untilNextMs(): number {
    return this.#timeline.untilNext(this.#options.machine.clock.nowMs());
  }

  /** Kills whoever is due; returns at once, the rest goes on by itself. */
  tick(): void {
    const { machine, crew } = this.#options;
    if (this.#pending !== undefined || this.#timeline.take(machine.clock.nowMs()) === undefined) return;
    const alive = crew.actors.filter((actor) => this.#isPlaying(actor));
    if (alive.length > 0) this.#pending = this.#killOne(this.#random.pick(alive));
  }

  /** What went wrong with cleaning up after a task; undefined while nothing has. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Waits for the kill that is under way. */
  async settle(): Promise<void> {
    await this.#pending;
  }

  async #killOne(victim: Actor): Promise<void> {
    try {
      await this.kill(victim, true);
    } catch (error) {
      this.#failure = error;
    }
    this.#pending = undefined;
  }

  /** Whether an importer's thread has joined the machine and not left it. */
  #isPlaying(actor: Actor): boolean {
    if (isController(actor.plan) || actor.end !== undefined) return false;
    const record = this.#options.board.role(actor.plan.role);
    return record.starts > actor.starts && record.state !== ROLE_ENDED;
  }

  /** Whether other engines use the same function: it must go on. */
  #isShared({ bdf, role }: EnginePlan): boolean {
    return this.#options.crew.actors.some(({ plan }) => !isController(plan) && plan.role !== role && plan.bdf === bdf);
  }

  /**
   * Terminates the thread of a role, cleans up after its task, and starts the role again when asked.
   * The device of a dead task may still do DMA until it is cut off.
   */
  async kill(actor: Actor, replace: boolean): Promise<void> {
    const { machine, pci, board, crew } = this.#options;
    const record = board.role(actor.plan.role);
    if (!(await crew.kill(actor))) return;
    const doing = record.activity.what;
    const task = machine.tasks().find(({ name, state }) => name === actor.taskName && state !== 'dead');
    if (!isController(actor.plan) && !this.#isShared(actor.plan)) pci.function(actor.plan.bdf).config.busMaster = false;
    const lostLocks = task === undefined ? [] : machine.reap(task.id).lostLocks;
    machine.flushWork();
    this.casualties.push({
      name: actor.plan.name,
      task: task?.id ?? 0,
      atMs: Math.round(machine.clock.nowMs() - this.#startMs),
      doing: doing === '' ? 'starting' : doing,
      lostLocks,
    });
    if (replace && !board.stopping) crew.start(actor.plan);
    else record.state = ROLE_ENDED;
    board.announce();
  }
}
