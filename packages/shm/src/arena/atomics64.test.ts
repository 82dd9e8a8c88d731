import { atomicAdd64, atomicCas64, atomicExchange64, Machine } from '@dmabuf-emu/shm';
import { expect, it } from 'vitest';

it('64 bits are added, exchanged and compared at once, and wrap', () => {
  using machine = Machine.create();
  const at = machine.root('test.wide', 16);
  expect(atomicExchange64(machine.mem, at, 2n ** 64n - 1n)).toBe(0n);
  expect(atomicAdd64(machine.mem, at, 2n)).toBe(2n ** 64n - 1n);
  expect(atomicCas64(machine.mem, at, 5n, 9n)).toBe(1n);
  expect(atomicCas64(machine.mem, at, 1n, 2n ** 33n + 7n)).toBe(1n);
  expect([machine.mem.i32[at], machine.mem.i32[at + 1]]).toEqual([7, 2]);
});
