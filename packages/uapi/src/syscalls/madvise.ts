import { PAGE_BYTES } from '@dmabuf-emu/core';
import { KernelError } from '@dmabuf-emu/shm';
import type { Process } from '../process/process.ts';
import type { UserArea } from '../process/user-area.ts';

/** @kernel MADV_* */
export const Advice = { NORMAL: 0, RANDOM: 1, SEQUENTIAL: 2, WILLNEED: 3, DONTNEED: 4 } as const;

/** Tells the kernel how memory will be used. @kernel madvise(2) @throws KernelError EINVAL, ENOMEM for a hole */
export function madvise({ space }: Process, address: bigint, length: bigint, advice: number): void {
  if (!Object.values<number>(Advice).includes(advice) || address % BigInt(PAGE_BYTES) !== 0n) {
    throw new KernelError('EINVAL', 'madvise', `address 0x${address.toString(16)}, advice ${advice}`);
  }
  const start = Number(address);
  const end = start + Math.ceil(Number(length) / PAGE_BYTES) * PAGE_BYTES;
  let next = start;
  for (const area of space.areas.filter((one) => one.start < end && start < one.end)) {
    if (area.start > next) break;
    if (advice === Advice.DONTNEED) dropPages(area, Math.max(start, area.start), Math.min(end, area.end));
    next = area.end;
  }
  if (next < end) throw new KernelError('ENOMEM', 'madvise', `nothing is mapped at 0x${next.toString(16)}`);
}

/** Pages of a file come back as the file has them; memory without a file is zero again. */
function dropPages({ vm, backing, start, offset }: UserArea, from: number, to: number): void {
  if (vm?.ops?.flags?.includes('pf') === true) {
    throw new KernelError('EINVAL', 'madvise', 'the pages of a device cannot be dropped');
  }
  if (vm === undefined) backing.write(from - start + offset, new Uint8Array(to - from));
}
