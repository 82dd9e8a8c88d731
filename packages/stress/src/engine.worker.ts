import { Machine } from '@dmabuf-emu/shm';
import { ROLE_ENDED } from './board/role-record.ts';
import { Controller } from './roles/controller.ts';
import { playEngine } from './roles/engine.ts';
import { RdmaUser, type RdmaTrigger } from './roles/rdma-user.ts';
import { registerAll } from './roles/register-all.ts';
import { RoleContext } from './roles/role-context.ts';
import { isController, type RoleTask } from './roles/role-task.ts';
import { VfioUser, type VfioTrigger } from './roles/vfio-user.ts';

/** A worker thread's job: joins the machine, plays one role to its end, leaves. */
export function play(task: RoleTask): void {
  const machine = Machine.join(task.machine, { name: task.taskName });
  registerAll(machine);
  const context = new RoleContext(machine, task);
  const { plan, faults } = task;
  if (!isController(plan)) playEngine(context, plan);
  else if (plan.kind === 'vfio') {
    const controller = new Controller<VfioTrigger>(context, plan);
    controller.run(new VfioUser(controller, faults));
  } else {
    const controller = new Controller<RdmaTrigger>(context, plan);
    controller.run(new RdmaUser(controller, faults));
  }
  context.record.state = ROLE_ENDED;
  context.board.announce();
  machine.leave();
}
