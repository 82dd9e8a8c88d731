import { Mem } from '@dmabuf-emu/shm';
import { describe, expect, it } from 'vitest';
import { SpinBudget } from '#dist/sync/spin-budget.js';

/** A memory whose spins end as `outcomes` say, and note how long they were allowed to take. */
function scripted(outcomes: (n: number) => boolean): { mem: Mem; spentUs: number[] } {
  const real = Mem.reserve(65536, 'js');
  const spentUs: number[] = [];
  const movers = {
    ...real.movers,
    spinWhileEqual(_at: number, _value: number, turns: number): number {
      spentUs.push(turns / real.movers.turnsPerUs);
      return outcomes(spentUs.length - 1) ? 1 : 0;
    },
  };
  return { mem: Object.create(real, { movers: { value: movers } }) as Mem, spentUs };
}

function spin(budget: SpinBudget, mem: Mem, times: number): void {
  for (let i = 0; i < times; i++) budget.whileEqual(mem, 0, 0);
}

describe('SpinBudget', () => {
  it('doubles after a hit, up to the price of a park, and halves after a miss', () => {
    const { mem, spentUs } = scripted((n) => n < 6);
    spin(new SpinBudget(2), mem, 10);
    expect(spentUs).toEqual([5, 10, 20, 40, 60, 60, 60, 30, 15, 7.5]);
  });

  it('tries the whole budget after many misses in a row, once', () => {
    const { mem, spentUs } = scripted(() => false);
    spin(new SpinBudget(2), mem, 200);
    expect(spentUs.flatMap((us, n) => (us === 60 ? [n] : []))).toEqual([64, 128, 192]);
    expect(spentUs[65]).toBe(0.25);
  });

  it('keeps the whole budget when that try was met', () => {
    const { mem, spentUs } = scripted((n) => n === 64 || n === 65);
    spin(new SpinBudget(2), mem, 68);
    expect(spentUs.slice(63)).toEqual([0.25, 60, 60, 60, 30]);
  });

  it('never spins where there is one core', () => {
    const { mem, spentUs } = scripted((n) => n % 2 === 0);
    spin(new SpinBudget(1), mem, 200);
    expect(new Set(spentUs)).toEqual(new Set([0]));
  });
});
