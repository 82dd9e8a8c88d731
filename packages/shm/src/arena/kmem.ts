import { KernelError } from '../errors/kernel-error.ts';
import type { Machine } from '../machine/machine.ts';
import { words } from './field.ts';
import type { Slab } from './slab.ts';
import { struct, type StructInfo } from './struct.ts';

const SMALLEST = 4;
const LARGEST = 20;

const CLASSES: StructInfo[] = Array.from({ length: LARGEST - SMALLEST + 1 }, (_, i) =>
  struct(`kmem-${1 << (i + SMALLEST)}`, { data: words((1 << (i + SMALLEST)) - 1) }),
);

/**
 * The size-class slab whose slots hold at least `count` words of data behind the header (data starts at word 1 of a slot).
 * For arrays whose length varies; their owner must remember `count`.
 * @kernel kmalloc
 * @throws KernelError ENOMEM when no class is that large (4 MiB).
 */
export function kmemSlab(machine: Machine, count: number): Slab {
  const bits = Math.max(SMALLEST, 32 - Math.clz32(count));
  const found = CLASSES[bits - SMALLEST];
  if (found === undefined) throw new KernelError('ENOMEM', 'kmalloc', `${count * 4} bytes is above the largest class`);
  return machine.slab(found);
}
