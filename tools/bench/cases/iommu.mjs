// P14, P16-P18: the IOMMU: scatter-gather copies, translation, mapping, address ranges.
import { goal, native, ours, script } from '../lib/define.mjs';

const scatterGather = (pages, atLeast) => ({
  id: `scatter-gather-${pages}`,
  title: `copy of ${pages} scattered pages through the IOMMU`,
  package: 'pci-iommu',
  goals: ['P14'],
  threads: 1,
  unit: 'GB/s',
  reference: 'C walk + memcpy',
  cases: [
    native('C walk + memcpy', 'memory', ['scatter-gather', pages]),
    native('C walk of both sides + memcpy', 'memory', ['scatter-gather-2', pages]),
    ours('dma.copy', 'scatter-gather', 'copyScattered', { pages }),
    ours('dma.copy, DMA checks on', 'scatter-gather', 'copyScattered', { pages, checks: true }),
    ours('bare mem.copy a page, nothing translated', 'scatter-gather', 'copyPages', { pages }),
  ],
  verdicts: [goal('P14', `scatter-gather, ${pages} pages`, 'dma.copy', 'C walk + memcpy', 'GB_s', { atLeast })],
});

export const tables = [
  scatterGather(256, 0.95),
  scatterGather(16_384, 0.85),
  {
    id: 'translate',
    title: 'translate one of 4096 mapped addresses, at random; map a page',
    package: 'pci-iommu',
    goals: ['P16', 'P17'],
    threads: 1,
    unit: 'ns',
    reference: 'C 4-level walk',
    cases: [
      native('C 4-level walk', 'iommu', ['translate', 4096]),
      ours('IommuDomain', 'iommu', 'translateAndMap', { pages: 4096, batch: 16 }),
      script('bare Int32Array, same table', 'iommu', 'translate', { pages: 4096 }),
      script('BigInt entries and addresses', 'iommu', 'translateBigInt', { pages: 4096 }, { naive: true }),
    ],
    verdicts: [
      goal('P16', 'translate one IOVA', 'IommuDomain', 'C 4-level walk', 'translate_ns', { atMost: 1.5 }),
      goal('P17', 'map a page, batches of 16', 'IommuDomain', 'C 4-level walk', 'map_page_ns', { atMost: 2 }),
    ],
  },
  {
    id: 'live-mappings',
    title: 'the same beside unrelated live mappings in the domain: the cost must not grow with them',
    package: 'pci-iommu',
    goals: [],
    threads: 1,
    unit: 'ns',
    reference: '1K other mappings',
    cases: [1, 100, 1000].map((k) =>
      ours(k < 1000 ? `${k}K other mappings` : '1M other mappings', 'iommu', 'translateAndMap', {
        pages: 4096,
        batch: 16,
        others: k * 1000,
      }),
    ),
    verdicts: [],
  },
  {
    id: 'iova',
    title: 'IOVA alloc + free, 4096 live ranges',
    package: 'pci-iommu',
    goals: ['P18'],
    threads: 1,
    unit: 'ns',
    reference: 'C rcache over bitmap',
    cases: [
      native('C rcache over bitmap', 'iommu', ['iova']),
      ours('IommuDomain', 'iommu', 'iovaAllocator'),
      script('bare JavaScript, same algorithm', 'iommu', 'iovaAllocator'),
    ],
    verdicts: [
      goal('P18', 'IOVA alloc + free, one page', 'IommuDomain', 'C rcache over bitmap', 'one_page_ns', { atMost: 3 }),
      goal('P18', 'IOVA alloc + free, mixed sizes', 'IommuDomain', 'C rcache over bitmap', 'mixed_ns', { atMost: 2.5 }),
    ],
  },
];
