import type { I32Field, Machine, StructInfo } from '@dmabuf-emu/shm';

/** A struct that names the task that it belongs to. */
export type OwnedStruct = StructInfo & { readonly task: I32Field };

/** Live slots that belong to a task. */
export function ownedBy(machine: Machine, struct: OwnedStruct, task: number): number[] {
  const slab = machine.slab(struct);
  return [...slab.live()].filter((ref) => {
    const p = slab.tryAt(ref);
    return p !== 0 && struct.task.get(machine.mem, p) === task;
  });
}
