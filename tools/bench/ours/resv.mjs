// A reservation object. add: lock, reserveFences(n), addFence of each of n contexts in place of its predecessor, unlock.
// walk: the unlocked cursor over n pending fences.
import { built } from '../lib/not-wired.mjs';
import { nsPerTurn } from '../lib/stats.mjs';
import { createMachine } from './machine.mjs';

const EXPORTS = ['defineFenceOps', 'Fence', 'fenceContextAlloc', 'fenceCreate', 'Resv', 'ResvUsage'];

export async function addAndWalk({ count }) {
  const core = await built('core', EXPORTS);
  const machine = await createMachine();
  const ops = core.defineFenceOps({ name: 'bench', getDriverName: () => 'bench', getTimelineName: () => 'bench' });
  const context = core.fenceContextAlloc(machine, count);
  const fences = Array.from({ length: count }, (_, i) =>
    core.Fence.of(machine, core.fenceCreate(machine, { ops, context: context + i, seqno: 1 })),
  );
  const resv = core.Resv.create(machine);
  const { WRITE, READ } = core.ResvUsage;
  const addAll = (turns) => {
    for (let i = 0; i < turns; i++) {
      resv.lock();
      resv.reserveFences(count);
      for (const fence of fences) resv.addFence(fence, WRITE);
      resv.unlock();
    }
  };
  const walkAll = (turns) => {
    let found = 0;
    for (let i = 0; i < turns; i++) {
      const cursor = resv.unlocked(READ);
      for (let ref = cursor.first(); ref !== 0; ref = cursor.next()) found++;
    }
    if (found !== turns * count) throw new Error(`found ${found} fences in ${turns} walks over ${count}`);
  };
  addAll(1);
  const turns = Math.ceil(1e6 / count);
  return { add_ns: nsPerTurn(addAll, turns) / count, walk_ns: nsPerTurn(walkAll, turns) / count };
}
