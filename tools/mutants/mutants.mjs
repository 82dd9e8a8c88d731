// Each mutant takes one guarantee away. `find` must stand exactly once in `file`; `projects` are the tests that must notice.
export const MUTANTS = [
  {
    name: 'fence-wait',
    what: 'a revoke does not wait for fences',
    file: 'packages/core/src/dma-buf/revoke.ts',
    find: '          waitFences(dmabuf);\n          steps.onFencesRetired?.();',
    replace: '          steps.onFencesRetired?.();',
    projects: ['@dmabuf-emu/core', '@dmabuf-emu/exporter-vfio', '@dmabuf-emu/exporter-rdma'],
  },
  {
    name: 'unmap-wait',
    what: 'a revoke does not wait for unmaps',
    file: 'packages/core/src/dma-buf/revoke.ts',
    find: '    this.waitUnmapped(dmabuf);\n',
    replace: '',
    projects: ['@dmabuf-emu/core', '@dmabuf-emu/exporter-vfio', '@dmabuf-emu/exporter-rdma'],
  },
  {
    name: 'iotlb-flush',
    what: 'an unmap leaves the IOTLB as it is',
    file: 'packages/pci-iommu/src/iommu/domain-mapper.ts',
    find: '    if (gather.end > gather.first) this.#iotlb?.invalidate(gather.first, gather.end);\n',
    replace: '',
    projects: ['@dmabuf-emu/pci-iommu'],
  },
  {
    name: 'revoked-check',
    what: 'VFIO maps a revoked buffer',
    file: 'packages/exporter-vfio/src/dma-buf/exporter-ops.ts',
    find: '  if (revocable.revoked || core === undefined) {',
    replace: '  if (core === undefined) {',
    projects: ['@dmabuf-emu/exporter-vfio'],
  },
  {
    name: 'revoked-check-rdma',
    what: 'RDMA maps a revoked buffer',
    file: 'packages/exporter-rdma/src/dma-buf/exporter-ops.ts',
    find: "  if (revocable.revoked) throw new KernelError('ENODEV', 'uverbs_dmabuf_map', `${dmabuf.label} is revoked`);\n",
    replace: '',
    projects: ['@dmabuf-emu/exporter-rdma'],
  },
];
