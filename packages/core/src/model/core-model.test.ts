import { FdTable, Fence, FenceCallback, File } from '@dmabuf-emu/core';
import { Machine } from '@dmabuf-emu/shm';
import { propertyRuns, TEST_OPTIONS } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { bufferCommands, type Command, type Numbers } from './buffer-commands.fixture.ts';
import { mockOps as MOCK } from '#dist/fence/mock-fence.test-worker.js';
import { fenceCommands } from './fence-commands.fixture.ts';
import { resvCommands } from './resv-commands.fixture.ts';
import { syncCommands } from './sync-commands.fixture.ts';
import { World } from './world.fixture.ts';

const COMMANDS: Record<string, Command> = { ...bufferCommands, ...resvCommands, ...fenceCommands, ...syncCommands };
/** Those without which the others find nothing to work on come more often. */
const OFTEN = [
  'export',
  'fence',
  'attach',
  'attach',
  'lock',
  'lock',
  'attachFence',
  'fd',
  'map',
  'timeline',
  'swFence',
];

const numbers = fc.tuple(fc.nat({ max: 63 }), fc.nat({ max: 63 }), fc.nat({ max: 63 }));
const step = fc.tuple(fc.nat({ max: 2 }), fc.constantFrom(...Object.keys(COMMANDS), ...OFTEN), numbers);

/** What must be gone in the end. */
const KINDS = ['dma_buf', 'dma_buf_attachment', 'sg_table', 'dma_resv', 'sync_file', 'sync_timeline', 'file'];

type Step = readonly [task: number, command: string, n: Numbers];

/** Drops everything that the test and the tasks still have; tells what is left. */
function end(w: World): string[] {
  w.machines.forEach((machine, task) => {
    w.switchTo(task);
    for (const pair of w.buffers) {
      if (pair.model.released || !pair.model.isHeld) continue;
      w.dmabuf(pair).resv.unlock();
      w.dmabuf(pair).put();
    }
    machine.flushWork();
  });
  w.switchTo(0);
  File.setLimit(w.machine, 0);
  for (const ref of w.known.keys()) {
    const fence = Fence.tryGet(w.machine, ref);
    if (fence === undefined) continue;
    if (fence.isOf(MOCK)) fence.signalUnowned();
    fence.put();
  }
  for (const pair of w.attachments.filter(({ model }) => model.alive)) {
    const attachment = w.attachment(pair);
    for (const table of attachment.tables()) attachment.unmapUnlocked(table, 0);
    w.dmabuf(pair.buffer).resv.with(() => {
      while (attachment.pins > 0) attachment.unpin();
    });
    w.dmabuf(pair.buffer).detach(attachment);
    w.dmabuf(pair.buffer).put();
  }
  for (const pair of w.buffers) for (; pair.own > 0; pair.own--) w.dmabuf(pair).put();
  for (const machine of w.machines) FdTable.exit(machine);
  for (const { real } of w.callbacks) {
    for (const pair of w.fences) w.fence(pair).removeCallback(new FenceCallback(w.machine, real.ref));
    real.free();
  }
  for (const pair of w.fences) for (; pair.own > 0; pair.own--) w.fence(pair).put();
  w.compareDiag();
  for (const machine of [...w.machines.slice(1), w.observer]) machine.leave();
  w.machine.flushWork();
  const { errors, leaks, counts } = w.machine.verify();
  return [...errors, ...leaks, ...KINDS.filter((kind) => (counts[kind] ?? 0) !== 0)];
}

/** Plays a sequence on both sides; tells what is left. */
function play(steps: readonly Step[]): string[] {
  const machine = Machine.create({ ...TEST_OPTIONS, arenaBytes: 8 << 20, memoryBytes: 1 << 20, name: 'first' });
  const w = new World(machine);
  for (const [task, name, n] of steps) {
    w.switchTo(task);
    COMMANDS[name]!(w, n);
    w.compare();
  }
  const left = end(w);
  machine.leave();
  return left;
}

const sequences = fc.array(step, { minLength: 1, maxLength: 80, size: 'max' });

it('the core does what a plain model does, whatever its tasks do', () => {
  fc.assert(
    fc.property(sequences, (steps) => {
      expect(play(steps)).toEqual([]);
    }),
    { numRuns: propertyRuns(1000) },
  );
});
