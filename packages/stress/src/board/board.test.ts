import { Machine } from '@dmabuf-emu/shm';
import { testMachine } from '@dmabuf-emu/shm/testing';
import { Board, PHASE_RUNNING } from '#dist/board/board.js';
import { ROLE_ENDED } from '#dist/board/role-record.js';
import { expect, test } from 'vitest';

test('another thread sees the same board', () => {
  using machine = testMachine();
  const board = new Board(machine);
  board.setPhase(PHASE_RUNNING);
  board.opsLimit = 2;
  board.countOp();
  using other = Machine.join(machine.handle, { name: 'other' });
  const seen = new Board(other);
  expect(seen.phase).toBe(PHASE_RUNNING);
  expect(seen.opsReached).toBe(false);
  seen.countOp();
  expect(board.opsReached).toBe(true);
  expect(board.waitUntil(() => false, 5)).toBe(false);
});

test('roles count, and equal refusals are counted together', () => {
  using machine = testMachine();
  const role = new Board(machine).role(3);
  role.start();
  role.count('steps');
  role.count('bytesRead', 4096);
  role.refuse('vfio', 95, 'attach');
  role.refuse('vfio', 95, 'attach');
  role.refuse('rdma', 95, 'pin');
  role.mapNs.record(1000);
  expect(role.tid).toBe(machine.tid);
  expect(role.counters()).toMatchObject({ steps: 1, bytesRead: 4096, refused: 3, maps: 0 });
  expect(role.refusals()).toEqual([
    { exporter: 'vfio', errno: 'EOPNOTSUPP', step: 'attach', count: 2 },
    { exporter: 'rdma', errno: 'EOPNOTSUPP', step: 'pin', count: 1 },
  ]);
  expect(new Board(machine).role(3).mapNs.count).toBe(1);
  expect(new Board(machine).role(2).counter('steps')).toBe(0);
});

test('no more kinds of refusals than there is room for', () => {
  using machine = testMachine();
  const role = new Board(machine).role(0);
  for (let n = 0; n < 100; n++) role.refuse('vfio', 1, `step ${n}`);
  expect(role.refusals()).toHaveLength(24);
  expect(role.counter('refused')).toBe(100);
});

test('the engines are gone when each has ended', () => {
  using machine = testMachine();
  const board = new Board(machine);
  board.setEngines(1, 2);
  expect(board.enginesGone).toBe(false);
  board.role(1).state = ROLE_ENDED;
  board.role(2).state = ROLE_ENDED;
  expect(board.enginesGone).toBe(true);
});

test('buffers are found by inode number', () => {
  using machine = testMachine();
  const board = new Board(machine);
  board.nameBuffer(77, 3);
  expect(board.placeOf(77)).toBe(3);
  expect(board.placeOf(78)).toBeUndefined();
});

test('a lost buffer keeps its place, and a new one at the same place is not lost', () => {
  using machine = testMachine();
  const board = new Board(machine);
  board.nameBuffer(11, 3);
  board.loseBuffer(11);
  board.nameBuffer(12, 3);
  expect([11, 12].map((ino) => [board.placeOf(ino), board.isLost(ino)])).toEqual([
    [3, true],
    [3, false],
  ]);
});
