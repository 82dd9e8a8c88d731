// P14, P16-P18: the IOMMU: scatter-gather copies, translation, mapping, address ranges.
import { goal, native, ours, script } from '../lib/define.mjs';

/** Live mappings beside which operations are measured, and the operations. */
const COUNTS = [
  ['1K mappings', 1000],
  ['100K mappings', 100_000],
  ['1M mappings', 1_000_000],
];
const OPERATIONS = ['map_unmap_4K_ns', 'map_unmap_2M_ns', 'phys_ns', 'hit_ns', 'miss_ns', 'iova_ns', 'iova_256K_ns'];

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
    ours('TypedArray.set a page, nothing translated', 'scatter-gather', 'setPages', { pages }),
    ours('TypedArray.set of all at once', 'scatter-gather', 'setAll', { pages }),
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
      ours('as a device, IOTLB hits', 'iommu', 'deviceTranslate', { pages: 64 }),
      ours('as a device, IOTLB misses', 'iommu', 'deviceTranslate', { pages: 4096 }),
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
    title: 'operations beside unrelated live mappings of the same domain',
    package: 'pci-iommu',
    goals: ['scale'],
    threads: 1,
    reference: '1K mappings',
    cases: COUNTS.map(([name, others]) => ours(name, 'iommu', 'besideMappings', { others })),
    verdicts: COUNTS.slice(1).flatMap(([name]) =>
      OPERATIONS.map((metric) =>
        goal('scale', `${metric.replace('_ns', '')}, ${name} / 1K`, name, '1K mappings', metric, { atMost: 1.2 }),
      ),
    ),
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
