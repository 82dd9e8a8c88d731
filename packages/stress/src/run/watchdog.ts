import type { Machine, TaskInfo } from '@dmabuf-emu/shm';
import type { Board } from '../board/board.ts';
import type { HangResult } from '../result/stress-result.ts';
import type { Actor } from './actor.ts';

/** A role that does not get on for this long hangs. */
export const HANG_MS = 5000;

interface Seen {
  readonly actor: Actor;
  progress: number;
  sinceMs: number;
}

/** Watches the progress counters of all roles. */
export class Watchdog {
  readonly #machine: Machine;
  readonly #board: Board;
  readonly #seen = new Map<number, Seen>();
  #lastMs: number;

  constructor(machine: Machine, board: Board) {
    this.#machine = machine;
    this.#board = board;
    this.#lastMs = machine.clock.nowMs();
  }

  /**
   * Looks at every role; call it a few times a second. When the whole process did not get on (a busy or suspended host), the
   * time does not count.
   * @returns the roles that have made no progress for `limitMs`.
   */
  look(actors: readonly Actor[], limitMs: number): Actor[] {
    const now = this.#machine.clock.nowMs();
    const gap = now - this.#lastMs;
    this.#lastMs = now;
    const lost = gap > 1000 ? gap : 0;
    return actors.filter((actor) => {
      if (actor.end !== undefined) {
        this.#seen.delete(actor.plan.role);
        return false;
      }
      const progress = this.#board.role(actor.plan.role).progress;
      const seen = this.#seen.get(actor.plan.role);
      if (seen === undefined || seen.actor !== actor || seen.progress !== progress) {
        this.#seen.set(actor.plan.role, { actor, progress, sinceMs: now });
        return false;
      }
      seen.sinceMs += lost;
      return now - seen.sinceMs >= limitMs;
    });
  }

  /** Gives every role its full time again, after something was done about a hang. */
  restart(): void {
    this.#seen.clear();
  }

  /** Who waits for what, and who holds it. */
  describe(actors: readonly Actor[]): HangResult[] {
    const now = this.#machine.clock.nowMs();
    const tasks = this.#machine.tasks();
    return actors.map((actor) => {
      const record = this.#board.role(actor.plan.role);
      const task = tasks.find(({ name }) => name === actor.taskName);
      const { what } = record.activity;
      return {
        role: actor.plan.name,
        task: task?.id ?? 0,
        stalledMs: Math.round(now - (this.#seen.get(actor.plan.role)?.sinceMs ?? now)),
        doing: what === '' ? 'starting' : what,
        ...waiting(task, tasks),
      };
    });
  }
}

function waiting(task: TaskInfo | undefined, tasks: readonly TaskInfo[]): { waitingFor: string; heldBy: string } {
  if (task === undefined) return { waitingFor: 'its thread to join the machine', heldBy: '' };
  if (task.waitingFor === undefined) return { waitingFor: 'nothing: it is running', heldBy: '' };
  const { label, holder } = task.waitingFor;
  if (holder === undefined) return { waitingFor: label, heldBy: '' };
  const owner = tasks.find(({ id }) => id === holder);
  return { waitingFor: label, heldBy: owner === undefined ? `task ${holder}` : `${owner.name} (task ${holder})` };
}
