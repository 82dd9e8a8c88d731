import { i32, Random, struct, type Machine } from '@dmabuf-emu/shm';
import { runTestWorker } from '@dmabuf-emu/shm/testing';

const S = struct('thing', { a: i32(), b: i32(), c: i32(), d: i32() });

/** Allocates, marks, checks and frees slots while other threads do the same; returns the rounds done. */
function contend(machine: Machine, { rounds, seed }: { rounds: number; seed: number }): number {
  const slab = machine.slab(S);
  const random = new Random(seed);
  const mine: number[] = [];
  for (let round = 0; round < rounds; round++) {
    if (mine.length < 200 && (mine.length === 0 || random.chance(0.5))) {
      const ref = slab.alloc('contend');
      const p = slab.at(ref);
      if (S.a.get(machine.mem, p) !== 0) throw new Error(`slot ${ref} was not free`);
      S.a.set(machine.mem, p, seed);
      mine.push(ref);
    } else {
      const ref = mine.splice(random.below(mine.length), 1)[0]!;
      if (S.a.get(machine.mem, slab.at(ref)) !== seed) throw new Error(`slot ${ref} was given away twice`);
      S.a.set(machine.mem, slab.at(ref), 0);
      slab.free(ref);
    }
  }
  for (const ref of mine) slab.free(ref);
  return rounds;
}

await runTestWorker(contend);
