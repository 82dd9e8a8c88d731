import { Fence, SignalRight } from '@dmabuf-emu/core';
import { mockOps } from '#dist/fence/mock-fence.test-worker.js';
import { type Command, pick } from './buffer-commands.fixture.ts';
import { freshPoint, keep } from './fence-commands.fixture.ts';
import { fail } from './files.fixture.ts';
import type { RightPair, World } from './world.fixture.ts';

const EIO = -5;
const ECANCELED = -125;

/** A call that only the owner of a right may make; tells whether it may. */
function isOwned(w: World, right: RightPair): boolean {
  if (right.state === 'owned') return true;
  w.model.diag.push(`violation ${right.state === 'signalled' ? 'fence-signalled-twice' : 'fence-right-lost'}`);
  return false;
}

export const rightCommands: Record<string, Command> = {
  right(w, [a, b]) {
    const model = freshPoint(w, a, b);
    if (model === undefined) return;
    const { context, seqno } = model;
    const real = Fence.create(w.machine, { ops: mockOps, context, seqno });
    w.rights.push({ real, fence: keep(w, real.fence.get(), model, true), state: 'owned' });
  },

  rightSignal(w, [a]) {
    const right = pick(w.rights, a);
    if (right === undefined) return;
    right.real.signal();
    if (!isOwned(w, right)) return;
    right.state = 'signalled';
    right.fence.model.end();
  },

  rightDrop(w, [a]) {
    const right = pick(w.rights, a);
    if (right === undefined) return;
    right.real.drop();
    if (right.state !== 'owned') return;
    right.state = 'dropped';
    right.fence.model.end(ECANCELED);
  },

  rightError(w, [a]) {
    const right = pick(w.rights, a);
    if (right === undefined) return;
    right.real.setError('EIO');
    if (!isOwned(w, right)) return;
    if (right.fence.model.signaled) w.model.diag.push('warn fence-error-late');
    right.fence.model.error = EIO;
  },

  /** From one task to another, or of a fence that nobody has a right to. */
  adopt(w, [a]) {
    const fence = pick(
      w.fences.filter(({ isLeaf, model }) => isLeaf && !model.signaled),
      a,
    );
    const right = w.rights.find((each) => each.fence.model === fence?.model && each.state === 'owned');
    if (fence === undefined) return;
    right?.real.handOver();
    const adopted = w.both(
      () => SignalRight.adopt(w.machine, fence.ref),
      () => right ?? fail('EALREADY'),
    );
    if (adopted === undefined || right === undefined) return;
    right.state = 'handed-over';
    w.rights.push({ real: adopted.real, fence: right.fence, state: 'owned' });
  },
};
