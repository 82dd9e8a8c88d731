import { type ErrnoName, KernelError } from '@dmabuf-emu/shm';
import type { IommuDomain } from './iommu-domain.ts';
import { PROT_MASK } from './prot.ts';
import { IOMMU_QUIRKS } from './quirks.ts';

const ADDRESS_END = 2 ** 64;

/** Refuses what can never be mapped, before any lock is taken. @throws KernelError see `IommuDomain.map` */
export function checkMap(domain: IommuDomain, iova: number, paddr: number, size: number, prot: number): void {
  const { granule, outputEnd, aperture } = domain.geometry;
  if (
    domain.isPaging &&
    ((iova | paddr | size) & (granule - 1)) === 0 &&
    (prot & PROT_MASK) !== 0 &&
    size > 0 &&
    paddr + size <= outputEnd &&
    iova >= aperture.start &&
    iova + size - 1 <= aperture.end
  )
    return;
  explain(domain, iova, paddr, size, prot);
}

/** The first thing that is wrong, in the kernel's order; a size of 0 may be right. */
function explain(domain: IommuDomain, iova: number, paddr: number, size: number, prot: number): void {
  const { granule, outputEnd, aperture } = domain.geometry;
  const range = `iova 0x${iova.toString(16)}, paddr 0x${paddr.toString(16)}, size 0x${size.toString(16)}`;
  const isAligned = ((iova | paddr | size) & (granule - 1)) === 0;
  const whole = IOMMU_QUIRKS.has(domain.machine, 'iommu.wholeRanges');
  if (!domain.isPaging) refuse(domain, 'EINVAL', true, `the domain is of type ${domain.type}`);
  if (!isAligned && !whole) refuse(domain, 'EINVAL', false, `${range}: all must be multiples of ${granule}`);
  if (size === 0 && !whole) return;
  if ((prot & PROT_MASK) === 0) refuse(domain, 'EINVAL', true, `prot ${prot} has neither READ nor WRITE`);
  if (paddr + size > outputEnd) {
    refuse(domain, 'ERANGE', false, `${range}: physical addresses end at 0x${outputEnd.toString(16)}`);
  }
  if (size <= 0) refuse(domain, 'EINVAL', false, `${range}: nothing to map`);
  if (iova + size > ADDRESS_END) refuse(domain, 'EOVERFLOW', false, `${range}: wraps around`);
  if (!isAligned) refuse(domain, 'ENXIO', false, `${range}: no size of page fits, the smallest is ${granule}`);
  const { start, end } = aperture;
  refuse(domain, 'ERANGE', false, `${range}: outside of 0x${start.toString(16)}..0x${end.toString(16)}`);
}

function refuse(domain: IommuDomain, code: ErrnoName, warn: boolean, text: string): never {
  if (warn) domain.machine.diag.warn('iommu-map', text);
  throw new KernelError(code, 'iommu_map', text);
}
