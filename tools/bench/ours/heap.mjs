// P27, P28. Calls fenceCreate; reads the size of a fence's slot from the machine's slabs.
import { fullCollection } from '../reference/heap.mjs';
import { built, NotWired } from '../lib/not-wired.mjs';
import { FENCE_EXPORTS } from './fence.mjs';
import { createMachine } from './machine.mjs';

async function machineWithFences(count) {
  const core = await built('core', FENCE_EXPORTS);
  const machine = await createMachine({ arenaBytes: (64 << 20) + count * 64 });
  const ops = core.defineFenceOps({ name: 'bench', getDriverName: () => 'bench', getTimelineName: () => 'bench' });
  const init = { ops, context: core.fenceContextAlloc(machine), seqno: 0 };
  for (let i = 0; i < count; i++) {
    init.seqno = i;
    core.fenceCreate(machine, init);
  }
  return machine;
}

export async function fenceBytes() {
  const machine = await machineWithFences(1);
  const slab = machine.allSlabs().find((s) => s.struct.$name === 'dma_fence');
  if (slab === undefined) throw new NotWired('core: no slab of struct dma_fence');
  return { bytes: slab.struct.$words * 4 };
}

/** Needs --expose-gc. */
export async function pauseWithFences({ count }) {
  const machine = await machineWithFences(count);
  const pause_ms = fullCollection();
  if (machine.tainted) throw new Error('the machine is damaged');
  return { pause_ms };
}
