import { PAGE_BYTES } from '@dmabuf-emu/core';
import { KernelError } from '@dmabuf-emu/shm';
import type { Process } from '../process/process.ts';
import { TASK_SIZE } from '../process/protection.ts';
import type { UserArea } from '../process/user-area.ts';

/** @kernel MREMAP_MAYMOVE */
export const MREMAP_MAYMOVE = 1;

/**
 * Shrinks a mapping, lets it grow, or moves it to where it can; returns the address. @kernel mremap(2)
 * @throws KernelError EINVAL, EFAULT where nothing is mapped or a device's mapping would grow, ENOMEM
 */
export function mremap(process: Process, address: bigint, oldLength: bigint, newLength: bigint, flags: number): bigint {
  const { space } = process;
  if (address % BigInt(PAGE_BYTES) !== 0n || (flags & ~MREMAP_MAYMOVE) !== 0) {
    throw new KernelError('EINVAL', 'mremap', `address 0x${address.toString(16)}, flags ${flags}`);
  }
  const [before, after] = [wholePages(oldLength), wholePages(newLength)];
  if (after === 0) throw new KernelError('EINVAL', 'mremap', 'the new length must be above 0');
  const start = Number(address);
  const area = start < TASK_SIZE ? space.find(start) : undefined;
  if (area === undefined) throw new KernelError('EFAULT', 'mremap', `nothing is mapped at 0x${address.toString(16)}`);
  if (after <= before) {
    if (after < before) space.remove(start + after, start + before);
    return address;
  }
  if (start + before > area.end) throw new KernelError('EFAULT', 'mremap', 'the range is not one mapping');
  area.vm?.grow((start - area.start + area.offset + after) / PAGE_BYTES);
  return BigInt(grow(process, area, start, { before, after, mayMove: (flags & MREMAP_MAYMOVE) !== 0 }));
}

function grow(
  { space }: Process,
  area: UserArea,
  start: number,
  { before, after, mayMove }: { before: number; after: number; mayMove: boolean },
): number {
  if (start + before === area.end && space.freeRange(area.end, after - before) === area.end) {
    space.replace(area, { ...area, end: start + after });
    return start;
  }
  if (!mayMove) throw new KernelError('ENOMEM', 'mremap', `no room behind 0x${area.end.toString(16)}`);
  const [moved] = space.isolate(start, start + before);
  const to = space.freeRange(0, after);
  space.replace(moved!, { ...moved!, start: to, end: to + after });
  return to;
}

function wholePages(length: bigint): number {
  return Math.ceil(Number(length) / PAGE_BYTES) * PAGE_BYTES;
}
