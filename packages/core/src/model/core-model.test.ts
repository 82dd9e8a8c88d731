import { FdTable, Fence, FenceCallback, File } from '@dmabuf-emu/core';
import { Machine } from '@dmabuf-emu/shm';
import { propertyRuns, propertyTimeoutMs, TEST_OPTIONS } from '@dmabuf-emu/shm/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { bufferCommands, type Command, type Numbers } from './buffer-commands.fixture.ts';
import { mockOps as MOCK } from '#dist/fence/mock-fence.test-worker.js';
import { fenceCommands } from './fence-commands.fixture.ts';
import { resvCommands } from './resv-commands.fixture.ts';
import { rightCommands } from './right-commands.fixture.ts';
import { syncCommands } from './sync-commands.fixture.ts';
import { World } from './world.fixture.ts';

const COMMANDS: Record<string, Command> = {
  ...bufferCommands,
  ...resvCommands,
  ...fenceCommands,
  ...rightCommands,
  ...syncCommands,
};
/** Those that give the others something to work on come more often. */
const OFTEN = [
  'export',
  'attach',
  'attach',
  'attachFence',
  'map',
  'mapUnlocked',
  'unmap',
  'fence',
  'swFence',
  'syncFile',
];

const numbers = fc.tuple(fc.nat({ max: 63 }), fc.nat({ max: 63 }), fc.nat({ max: 63 }));
const step = fc.tuple(fc.nat({ max: 2 }), fc.constantFrom(...Object.keys(COMMANDS), ...OFTEN), numbers);

/** What every sequence begins with, so that there is something to work on. */
const FIRST: readonly Step[] = [
  [0, 'export', [1, 1, 0]],
  [0, 'get', [0, 0, 0]],
  [0, 'fd', [0, 0, 0]],
  [0, 'attach', [0, 0, 1]],
  [0, 'attach', [0, 2, 1]],
  [2, 'export', [2, 1, 0]],
  [2, 'attach', [1, 3, 1]],
  [2, 'timeline', [0, 0, 0]],
  [2, 'swFence', [0, 3, 0]],
  [0, 'fence', [0, 1, 0]],
  [1, 'fence', [1, 1, 0]],
  [1, 'syncFile', [0, 0, 0]],
];

/** No time passes: what is signalled without a time stamp is signalled at 0. */
const SMALL = { arenaBytes: 8 << 20, memoryBytes: 1 << 20, clock: 'manual' } as const;

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
  for (const { real } of w.rights) real.drop();
  for (const pair of w.attachments.filter(({ model }) => model.alive)) {
    const attachment = w.attachment(pair);
    for (const table of attachment.tables()) attachment.unmapUnlocked(table, 0);
    w.dmabuf(pair.buffer).resv.with(() => {
      while (attachment.pins > 0) {
        if (pair.model.importer === 'static') w.model.diag.push('warn dma_buf_unpin');
        attachment.unpin();
      }
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
  const machine = Machine.create({ ...TEST_OPTIONS, ...SMALL, name: 'first' });
  const w = new World(machine);
  for (const [task, name, n] of [...FIRST, ...steps]) {
    w.switchTo(task);
    COMMANDS[name]!(w, n);
    w.compare();
  }
  const left = end(w);
  machine.leave();
  return left;
}

const sequences = fc.array(step, { maxLength: 40, size: 'max' });

it('the core does what a plain model does, whatever its tasks do', { timeout: propertyTimeoutMs(120_000) }, () => {
  fc.assert(
    fc.property(sequences, (steps) => {
      expect(play(steps)).toEqual([]);
    }),
    { numRuns: propertyRuns(1000), unbiased: true },
  );
});
