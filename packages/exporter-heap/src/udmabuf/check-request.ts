import { KernelError, type Machine } from '@dmabuf-emu/shm';
import { udmabufParameters } from './parameters.ts';

/** An unsigned 64-bit number. */
export type U64 = number | bigint;

/** Part of a memfd. @kernel struct udmabuf_create_item */
export interface UdmabufItem {
  readonly memfd: number;
  readonly offset: U64;
  readonly size: U64;
}

const SITE = 'udmabuf_create';
const PAGE = 4096n;

/** @throws KernelError EINVAL above the module's limit */
export function checkCount(machine: Machine, count: number): void {
  const limit = udmabufParameters(machine).listLimit >>> 0;
  if (count > limit) throw new KernelError('EINVAL', 'udmabuf_ioctl_create_list', `${count} items, limit ${limit}`);
}

/** Checks the sizes of all items, before any memfd is looked at. @throws KernelError EINVAL */
export function checkItems(machine: Machine, items: readonly UdmabufItem[]): void {
  const limit = (BigInt.asUintN(64, BigInt(udmabufParameters(machine).sizeLimitMb)) << 20n) / PAGE;
  let pages = 0n;
  items.forEach(({ offset, size }, i) => {
    if (BigInt(offset) % PAGE !== 0n || BigInt(size) % PAGE !== 0n) {
      throw new KernelError('EINVAL', SITE, `item ${i}: ${size} bytes at ${offset} are no whole pages`);
    }
    pages += BigInt(size) / PAGE;
    if (pages > limit) throw new KernelError('EINVAL', SITE, `item ${i}: more than ${limit} pages in all`);
  });
  if (pages === 0n) throw new KernelError('EINVAL', SITE, 'no pages');
}
