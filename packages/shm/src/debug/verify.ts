import { HEADER_AT, MachineHeader, TASK_DEAD, TASK_RUNNING, TaskStruct, taskAt } from '../machine/header.ts';
import type { Machine } from '../machine/machine.ts';

/** Result of a machine check. */
export interface VerifyReport {
  /** True when there are no errors and no leaks; damage by tasks that died does not count against it. */
  readonly ok: boolean;
  /** Inconsistencies that should be impossible. */
  readonly errors: readonly string[];
  /** Objects that nothing refers to any more but that were never freed. */
  readonly leaks: readonly string[];
  /** What tasks that died inside the kernel left broken. */
  readonly damage: readonly string[];
  /** Objects by kind. */
  readonly counts: Readonly<Record<string, number>>;
}

/** Collects the findings of one check. */
export class VerifyBuilder {
  readonly #errors: string[] = [];
  readonly #leaks: string[] = [];
  readonly #damage: string[] = [];
  readonly #counts: Record<string, number> = {};

  error(text: string): void {
    this.#errors.push(text);
  }

  leak(kind: string, text: string): void {
    this.#leaks.push(`${kind}: ${text}`);
  }

  damage(kind: string, text: string): void {
    this.#damage.push(`${kind}: ${text}`);
  }

  count(kind: string, n: number): void {
    this.#counts[kind] = (this.#counts[kind] ?? 0) + n;
  }

  report(): VerifyReport {
    return {
      ok: this.#errors.length === 0 && this.#leaks.length === 0,
      errors: this.#errors,
      leaks: this.#leaks,
      damage: this.#damage,
      counts: this.#counts,
    };
  }
}

/**
 * fsck of the machine: free lists are whole, no lock is held on a quiet machine, and whatever the subsystems' hooks prove of
 * their tables. The other tasks must not be inside the kernel meanwhile.
 */
export function verifyMachine(
  machine: Machine,
  hooks: ReadonlyMap<string, (report: VerifyBuilder) => void>,
): VerifyReport {
  const report = new VerifyBuilder();
  const deaths = MachineHeader.deaths.get(machine.mem, HEADER_AT);
  for (const slab of machine.allSlabs()) {
    const live = [...slab.live()].length;
    const lost = slab.slots - live - slab.countFree();
    report.count(`slab:${slab.struct.$name}`, live);
    if (lost !== 0 && deaths > 0) report.damage('slab', `${lost} free slots of ${slab.struct.$name} were lost`);
    else if (lost !== 0) report.error(`slab ${slab.struct.$name}: ${lost} slots are neither live nor free`);
  }
  for (const task of machine.tasks()) {
    for (const lock of task.holds) {
      const text = `${lock.lockClass} is held by task ${task.id} (${task.name})`;
      if (task.state === 'dead') report.damage('lock', `${text}, which died`);
      else if (task.id !== machine.tid) report.error(text);
    }
  }
  for (const [name, hook] of hooks) {
    try {
      hook(report);
    } catch (error) {
      report.error(`${name}: the check itself failed: ${String(error)}`);
    }
  }
  return report.report();
}

/** Whether task `id` died inside the kernel; its losses are damage, not leaks. */
export function taskIsDead(machine: Machine, id: number): boolean {
  if (id <= 0) return false;
  return TaskStruct.state.load(machine.mem, taskAt(id)) === TASK_DEAD;
}

/** Whether task `id` is joined and alive. */
export function taskIsRunning(machine: Machine, id: number): boolean {
  return id > 0 && TaskStruct.state.load(machine.mem, taskAt(id)) === TASK_RUNNING;
}
