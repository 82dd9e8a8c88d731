import { Machine } from '@dmabuf-emu/shm';
import { ROLE_ENDED } from './board/role-record.ts';
import { Controller } from './roles/controller.ts';
import { playEngine } from './roles/engine.ts';
import { HeapUser, type HeapTrigger } from './roles/heap-user.ts';
import { RdmaUser, type RdmaTrigger } from './roles/rdma-user.ts';
import { registerAll } from './roles/register-all.ts';
import { RoleContext } from './roles/role-context.ts';
import type { ControllerPlan } from './plan/run-plan.ts';
import type { FaultRates } from './scenario/scenario.ts';
import { isController, type RoleTask } from './roles/role-task.ts';
import { VfioUser, type VfioTrigger } from './roles/vfio-user.ts';

/** A worker thread's job: joins the machine, plays one role to its end, leaves. */
export function play(task: RoleTask): void {
  const machine = Machine.join(task.machine, { name: task.taskName });
  registerAll(machine);
  const context = new RoleContext(machine, task);
  const { plan, faults } = task;
  if (isController(plan)) playController(context, plan, faults);
  else playEngine(context, plan);
  context.record.state = ROLE_ENDED;
  context.board.announce();
  machine.leave();
}

function playController(context: RoleContext, plan: ControllerPlan, faults: FaultRates): void {
  switch (plan.kind) {
    case 'vfio': {
      const controller = new Controller<VfioTrigger>(context, plan);
      controller.run(new VfioUser(controller, faults));
      return;
    }
    case 'rdma': {
      const controller = new Controller<RdmaTrigger>(context, plan);
      controller.run(new RdmaUser(controller, faults));
      return;
    }
    case 'heap': {
      const controller = new Controller<HeapTrigger>(context, plan);
      controller.run(new HeapUser(controller, faults));
    }
  }
}
