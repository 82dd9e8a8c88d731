import type { I32Field, Machine, StructInfo } from '@dmabuf-emu/shm';

/** A struct that names the task that it belongs to. */
export type OwnedStruct = StructInfo & { readonly task: I32Field };

/**
 * Live slots that belong to a task, also one that died before it could write that down. Others take and free slots of their
 * own meanwhile.
 */
export function ownedBy(machine: Machine, struct: OwnedStruct, task: number): number[] {
  const slab = machine.slab(struct);
  return [...slab.live()].filter((ref) => {
    const p = slab.tryAt(ref);
    return p !== 0 && slab.ownerOf(ref, struct.task.get(machine.mem, p)) === task && slab.tryAt(ref) !== 0;
  });
}
