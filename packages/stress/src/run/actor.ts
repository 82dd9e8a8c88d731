import type { ControllerPlan, EnginePlan } from '../plan/run-plan.ts';

/** How a thread that played a role ended. */
export type ActorEnd =
  | { readonly how: 'done' }
  | { readonly how: 'killed' }
  | { readonly how: 'crashed'; readonly error: unknown };

/** A role as the main thread sees it: the task that plays it now. */
export interface Actor {
  readonly plan: ControllerPlan | EnginePlan;
  /** Name of the machine's task. */
  readonly taskName: string;
  /** How often the role was started before. */
  readonly starts: number;
  /** Resolves when the thread is through with it, however that came about. */
  readonly ended: Promise<ActorEnd>;
  /** Set once it has ended. */
  readonly end: ActorEnd | undefined;
}
