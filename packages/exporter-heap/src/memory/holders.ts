import type { Machine } from '@dmabuf-emu/shm';

/** Refs that some kind of object holds a reference to, once per reference. */
export type HeldRefs = () => Iterable<number>;
export type HeldKind = 'page' | 'shmem';

const KEY = Symbol('exporter-heap.holders');

/**
 * Tells the check of the machine who holds references to pages or files in memory: `refs` lists them. Each kind of holder
 * registers once in a thread. A reference that no holder accounts for counts as leaked.
 */
export function registerHolder(machine: Machine, kind: HeldKind, name: string, refs: HeldRefs): void {
  holders(machine).set(`${kind} ${name}`, refs);
}

/** How many references each object of a kind has by its holders' account. */
export function countHeld(machine: Machine, kind: HeldKind): Map<number, number> {
  const counts = new Map<number, number>();
  for (const [name, refs] of holders(machine)) {
    if (!name.startsWith(`${kind} `)) continue;
    for (const ref of refs()) counts.set(ref, (counts.get(ref) ?? 0) + 1);
  }
  return counts;
}

function holders(machine: Machine): Map<string, HeldRefs> {
  return machine.local(KEY, () => new Map<string, HeldRefs>());
}
