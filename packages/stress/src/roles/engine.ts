import { createImporter } from '@dmabuf-emu/importers';
import { PHASE_OVER, PHASE_RUNNING, PHASE_STOPPING } from '../board/board.ts';
import { ROLE_ENDED } from '../board/role-record.ts';
import type { EnginePlan } from '../plan/run-plan.ts';
import { BufferUse } from './buffer-use.ts';
import type { RoleContext } from './role-context.ts';

/** Longest time without a sign of life. */
const NAP_MS = 200;
/** Pause of an engine that found every buffer revoked. */
const PAUSE_MS = 0.5;

/** Plays an importing device: works on the buffers of its plan until the run stops, then gives everything back. */
export function playEngine(context: RoleContext, plan: EnginePlan): void {
  const { board, machine, pci, record, random } = context;
  record.doing('starting the device');
  const fn = pci.function(plan.bdf);
  fn.config.busMaster = true;
  const importer = createImporter(plan.kind, {
    machine,
    pci,
    fn,
    random: random.fork('importer'),
    name: plan.name,
    ...(plan.rogue === undefined ? {} : { rogue: plan.rogue }),
  });
  const uses = plan.uses.map((use) => new BufferUse(context, plan, importer, use));
  record.start();
  while (board.phase < PHASE_RUNNING) {
    record.doing('waiting for the start');
    board.waitUntil(() => board.phase >= PHASE_RUNNING, NAP_MS);
  }
  let idle = 0;
  while (!board.stopping) {
    const usable = uses.filter((use) => use.usable);
    if (usable.length === 0) {
      record.doing('waiting for a buffer');
      board.waitUntil(() => board.stopping || uses.some((use) => use.usable), NAP_MS);
      continue;
    }
    idle = random.pick(usable).turn() === 'worked' ? 0 : idle + 1;
    if (idle > usable.length) board.waitUntil(() => board.stopping, PAUSE_MS);
    if (board.opsReached) board.setPhase(PHASE_STOPPING);
  }
  for (const use of uses) use.detach();
  if (plan.kind === 'rogue') awaitEnd(context);
}

/** A rogue may have kept what it should have given back. It stays, so that it can be killed for it, until nobody else waits. */
function awaitEnd({ board, record }: RoleContext): void {
  record.state = ROLE_ENDED;
  board.announce();
  while (board.phase < PHASE_OVER) {
    record.doing('waiting for the end');
    board.waitUntil(() => board.phase >= PHASE_OVER, NAP_MS);
  }
}
