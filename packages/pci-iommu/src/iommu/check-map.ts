import { type ErrnoName, KernelError } from '@dmabuf-emu/shm';
import { isPageAligned, PAGE_SIZE } from '../memory/page.ts';
import type { IommuDomain } from './iommu-domain.ts';
import { MAX_PAGE_NUMBER } from './page-table.ts';
import { PROT_MASK } from './prot.ts';

/** The top of every IOVA space: 48 bits. */
export const IOVA_APERTURE_END = MAX_PAGE_NUMBER * PAGE_SIZE - 1;

/** Refuses what can never be mapped, before any lock is taken. @throws KernelError EINVAL, ERANGE: see `IommuDomain.map` */
export function checkMap(domain: IommuDomain, iova: number, paddr: number, size: number, prot: number): void {
  if (!domain.isPaging) refuse(domain, 'EINVAL', true, `the domain is of type ${domain.type}`);
  if (!isPageAligned(iova) || !isPageAligned(paddr) || !isPageAligned(size)) {
    refuse(domain, 'EINVAL', false, `${describe(iova, paddr, size)}: all must be multiples of ${PAGE_SIZE}`);
  }
  if ((prot & PROT_MASK) === 0) refuse(domain, 'EINVAL', true, `prot ${prot} has neither READ nor WRITE`);
  if (iova < 0 || iova + size > IOVA_APERTURE_END + 1) {
    refuse(domain, 'ERANGE', false, `${describe(iova, paddr, size)}: IOVAs have 48 bits`);
  }
}

function refuse(domain: IommuDomain, code: ErrnoName, warn: boolean, text: string): never {
  if (warn) domain.machine.diag.warn('iommu-map', text);
  throw new KernelError(code, 'iommu_map', text);
}

function describe(iova: number, paddr: number, size: number): string {
  return `iova 0x${iova.toString(16)}, paddr 0x${paddr.toString(16)}, size 0x${size.toString(16)}`;
}
