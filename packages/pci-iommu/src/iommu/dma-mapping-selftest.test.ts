import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, it } from 'vitest';
import { smallMemory } from '../memory/test-memory.ts';
import { IommuDomain } from './iommu-domain.ts';
import { IommuProt } from './prot.ts';
import { GIB, KIB, MIB } from './test-domain.ts';

/** How each way to the IOMMU makes its domain; the compatibility type1 container never uses large pages. */
const MODES = [
  ['vfio_type1_iommu', {}],
  ['vfio_type1v2_iommu', {}],
  ['iommufd_compat_type1', { pgsizeBitmap: 4 * KIB }],
  ['iommufd_compat_type1v2', {}],
  ['iommufd', {}],
] as const;
const MEMORY = [
  ['anonymous', 4 * KIB],
  ['anonymous_hugetlb_2mb', 2 * MIB],
  ['anonymous_hugetlb_1gb', GIB],
] as const;
const IOVA = 8 * GIB;

/** The test of the level that the kernel's VFIO selftest reads in the IOMMU's debugfs; the ioctls on top are not its matter. */
describe('vfio_dma_mapping_test', () => {
  describe.each(MODES)('%s', (_mode, options) => {
    describe.each(MEMORY)('%s', (_memory, size) => {
      it('dma_map_unmap', () => {
        using machine = testMachine();
        const memory = smallMemory(machine, 4 * GIB);
        const paddr = memory.allocPages(size / 4096, size / 4096);
        const domain = IommuDomain.create(machine, memory.map, { type: 'unmanaged', ...options });

        domain.map(IOVA, paddr, size, IommuProt.READ | IommuProt.WRITE);
        expect(domain.iovaToPhys(IOVA)).toBe(paddr);
        expect(domain.iovaToPhys(IOVA + size - 1)).toBe(paddr + size - 1);
        const leaf = 'pgsizeBitmap' in options ? 4 * KIB : size;
        expect([...domain.mappings()].every((mapping) => mapping.size === leaf)).toBe(true);
        expect(domain.leafSizeAt(IOVA)).toBe(leaf);

        expect(domain.unmap(IOVA, size)).toBe(size);
        expect(domain.iovaToPhys(IOVA)).toBe(0);
        expect(domain.leafSizeAt(IOVA)).toBe(0);
        domain.destroy();
        memory.freePages(paddr, size / 4096);
      });
    });
  });
});
