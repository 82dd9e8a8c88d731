import type { I32Field, Machine, StructInfo } from '@dmabuf-emu/shm';

/** A struct that names the task that it belongs to. */
export type OwnedStruct = StructInfo & { readonly task: I32Field };

/** Task that a live slot belongs to: also one that died before it could write that down. */
export function ownerOf(machine: Machine, struct: OwnedStruct, ref: number): number {
  const slab = machine.slab(struct);
  return slab.ownerOf(ref, struct.task.get(machine.mem, slab.at(ref)));
}

/** Live slots that belong to a task. */
export function ownedBy(machine: Machine, struct: OwnedStruct, task: number): number[] {
  const slab = machine.slab(struct);
  return [...slab.live()].filter((ref) => slab.tryAt(ref) !== 0 && ownerOf(machine, struct, ref) === task);
}
