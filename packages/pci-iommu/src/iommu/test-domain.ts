import type { Machine } from '@dmabuf-emu/shm';
import { smallMemory } from '../memory/test-memory.ts';
import type { DomainOptions } from './domain-lifetime.ts';
import { IommuDomain } from './iommu-domain.ts';

export { BIG_BAR, BIG_BAR_BYTES } from '../memory/test-memory.ts';

export const KIB = 2 ** 10;
export const MIB = 2 ** 20;
export const GIB = 2 ** 30;

/** A domain that is destroyed at the end of the test, over RAM and one BAR of 64 GiB at `BIG_BAR`. */
export function domainOf(machine: Machine, options: Partial<DomainOptions> = {}): IommuDomain & Disposable {
  const domain = IommuDomain.create(machine, smallMemory(machine).map, { type: 'unmanaged', ...options });
  return Object.assign(domain, { [Symbol.dispose]: () => domain.destroy() });
}
