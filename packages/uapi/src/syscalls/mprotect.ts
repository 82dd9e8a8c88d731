import { PAGE_BYTES } from '@dmabuf-emu/core';
import { KernelError } from '@dmabuf-emu/shm';
import type { Process } from '../process/process.ts';
import { Prot, TASK_SIZE } from '../process/protection.ts';

const PAGE = BigInt(PAGE_BYTES);
const ALL_PROT = Prot.READ | Prot.WRITE | Prot.EXEC;

/** Unmaps every page of a range. @kernel munmap(2) @throws KernelError EINVAL, ENOMEM */
export function munmap({ space }: Process, address: bigint, length: bigint): void {
  const { start, end } = wholePages('munmap', address, length, 'EINVAL');
  if (start === end) throw new KernelError('EINVAL', 'munmap', 'length must be above 0');
  space.remove(start, end);
}

/** Changes what a range may be used for. @kernel mprotect(2) @throws KernelError EINVAL, ENOMEM for a hole, EACCES */
export function mprotect({ space }: Process, address: bigint, length: bigint, prot: number): void {
  const { start, end } = wholePages('mprotect', address, length, 'ENOMEM');
  if (start === end) return;
  if ((prot & ~ALL_PROT) !== 0) throw new KernelError('EINVAL', 'mprotect', `protection ${prot} has unknown bits`);
  let next = start;
  for (const area of space.isolate(start, end)) {
    if (area.start !== next) break;
    if ((prot & ~area.maxProt) !== 0) {
      throw new KernelError('EACCES', 'mprotect', `protection ${prot} of a mapping that allows ${area.maxProt}`);
    }
    if (area.vm !== undefined && (prot & Prot.WRITE) !== 0) area.vm.writable = true;
    space.replace(area, { ...area, prot });
    next = area.end;
  }
  if (next < end) throw new KernelError('ENOMEM', 'mprotect', `nothing is mapped at 0x${next.toString(16)}`);
}

function wholePages(
  where: string,
  address: bigint,
  length: bigint,
  beyond: 'EINVAL' | 'ENOMEM',
): { start: number; end: number } {
  if (address % PAGE !== 0n) throw new KernelError('EINVAL', where, `address 0x${address.toString(16)} is no page's`);
  const bytes = ((length + PAGE - 1n) / PAGE) * PAGE;
  if (address + bytes > BigInt(TASK_SIZE)) throw new KernelError(beyond, where, 'beyond the addresses of a program');
  return { start: Number(address), end: Number(address + bytes) };
}
