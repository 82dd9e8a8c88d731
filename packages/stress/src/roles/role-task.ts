import type { MachineHandle } from '@dmabuf-emu/shm';
import type { ControllerPlan, EnginePlan } from '../plan/run-plan.ts';
import type { FaultRates } from '../scenario/scenario.ts';

/** What a worker thread is given to play: all that it needs beside the machine itself. */
export interface RoleTask {
  readonly machine: MachineHandle;
  /** Name of the task that it joins as: the role's, with a number from the second start on. */
  readonly taskName: string;
  /** How often the role was started before. */
  readonly starts: number;
  readonly seed: number;
  readonly faults: FaultRates;
  readonly plan: ControllerPlan | EnginePlan;
}

export function isController(plan: ControllerPlan | EnginePlan): plan is ControllerPlan {
  return 'buffers' in plan;
}

/** Name of the task that plays a role for the `starts`-th time after the first. */
export function taskName(role: string, starts: number): string {
  return starts === 0 ? role : `${role}.${starts + 1}`;
}

/** Whether a task of that name plays, or played, a role. */
export function isTaskOf(role: string, task: string): boolean {
  return task === role || (task.startsWith(`${role}.`) && /^\d+$/.test(task.slice(role.length + 1)));
}
