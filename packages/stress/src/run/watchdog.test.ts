import { Mutex, type Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { Board } from '#dist/board/board.js';
import { Watchdog } from '#dist/run/watchdog.js';
import type { Actor } from '#dist/run/actor.js';
import { describe, expect, test } from 'vitest';

function actor(name: string, role: number): { -readonly [K in keyof Actor]: Actor[K] } {
  const plan = { role, name, kind: 'odp' as const, bdf: '0000:01:00.0', uses: [] };
  return { plan, taskName: name, starts: 0, ended: new Promise<never>(() => undefined), end: undefined };
}

/** Lets `ms` pass in steps that a live main thread would take. */
function pass(machine: Machine, watchdog: Watchdog, actors: readonly Actor[], ms: number): Actor[] {
  let stalled: Actor[] = [];
  for (let left = ms; left > 0; left -= 100) {
    machine.clock.advance(Math.min(100, left));
    stalled = watchdog.look(actors, 5000);
  }
  return stalled;
}

describe('hang detection', () => {
  test('a role without progress for 5 s is reported, one that gets on is not', () => {
    using machine = testMachine({ clock: 'manual' });
    const board = new Board(machine);
    const watchdog = new Watchdog(machine, board);
    const [stuck, busy] = [actor('stuck', 0), actor('busy', 1)];
    board.role(0).doing('working');
    watchdog.look([stuck, busy], 5000);
    for (let s = 0; s < 4; s++) {
      board.role(1).doing('working');
      expect(pass(machine, watchdog, [stuck, busy], 1000)).toEqual([]);
    }
    board.role(1).doing('working');
    expect(pass(machine, watchdog, [stuck, busy], 1500)).toEqual([stuck]);
    stuck.end = { how: 'done' };
    expect(watchdog.look([stuck, busy], 5000)).toEqual([]);
  });

  test('time in which the whole process stood still does not count', () => {
    using machine = testMachine({ clock: 'manual' });
    const watchdog = new Watchdog(machine, new Board(machine));
    const role = actor('odp0', 0);
    watchdog.look([role], 5000);
    machine.clock.advance(60_000);
    expect(watchdog.look([role], 5000)).toEqual([]);
    expect(pass(machine, watchdog, [role], 5000)).toEqual([role]);
  });

  test('the report says what it did, what it waits for and who holds that', () => {
    using machine = testMachine();
    const board = new Board(machine);
    const watchdog = new Watchdog(machine, board);
    board.role(0).doing('flr');
    const stuck = { ...actor('test', 0), taskName: 'test' };
    watchdog.look([stuck], 5000);
    const mutex = new Mutex(machine, machine.root('lock', 16), 'the.lock');
    mutex.lock();
    expect(watchdog.describe([stuck])).toEqual([
      {
        role: 'test',
        task: machine.tid,
        stalledMs: expect.any(Number),
        doing: 'flr',
        waitingFor: 'nothing: it is running',
        heldBy: '',
      },
    ]);
    mutex.unlock();
    expect(watchdog.describe([actor('nobody', 1)])[0]).toMatchObject({
      task: 0,
      waitingFor: 'its thread to join the machine',
    });
  });
});
