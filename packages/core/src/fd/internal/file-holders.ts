import type { Machine } from '@dmabuf-emu/shm';

const HOLDERS = Symbol('core.file-holders');

/** Declares that a subsystem keeps references to files in the arena: `enumerate` yields each, once for each reference. */
export function noteFileHolder(machine: Machine, name: string, enumerate: () => Iterable<number>): void {
  holders(machine).set(name, enumerate);
}

/** How many references to each file subsystems hold. */
export function heldFiles(machine: Machine): Map<number, number> {
  const held = new Map<number, number>();
  for (const enumerate of holders(machine).values()) {
    for (const file of enumerate()) held.set(file, (held.get(file) ?? 0) + 1);
  }
  return held;
}

function holders(machine: Machine): Map<string, () => Iterable<number>> {
  return machine.local(HOLDERS, () => new Map());
}
