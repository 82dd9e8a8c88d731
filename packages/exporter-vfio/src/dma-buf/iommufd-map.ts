import type { Attachment } from '@dmabuf-emu/core';
import type { PhysVec } from '@dmabuf-emu/pci-iommu';
import { KernelError } from '@dmabuf-emu/shm';
import { ExportedBuffer } from './exported-buffer.ts';

/**
 * The whole buffer as one physical range, for iommufd, which maps it into domains of its own. Takes no count: it is safe
 * because the importer's callback unmaps before it returns.
 * @kernel vfio_pci_dma_buf_iommufd_map
 * @locks resv held
 * @throws KernelError ENODEV while the buffer is revoked, EOPNOTSUPP when it has several ranges
 */
export function iommufdMap({ dmabuf }: Attachment): PhysVec {
  dmabuf.resv.assertHeld('vfio_pci_dma_buf_iommufd_map');
  const buffer = ExportedBuffer.of(dmabuf);
  const { core } = buffer;
  if (buffer.revocable.revoked || core === undefined) {
    throw new KernelError('ENODEV', 'vfio_pci_dma_buf_iommufd_map', `${dmabuf.label} is revoked`);
  }
  const [range, ...more] = buffer.ranges();
  if (range === undefined || more.length > 0) {
    throw new KernelError(
      'EOPNOTSUPP',
      'vfio_pci_dma_buf_iommufd_map',
      `${dmabuf.label} has ${more.length + 1} ranges, must have 1`,
    );
  }
  return { paddr: core.bar(buffer.bar)!.start + range.offset, len: range.length };
}
