// Every case of the kernel's and IGT's own tests of what is emulated, and of the tests that the kernel lacks.
//
// A suite's tests stand in a `describe` of its name, a case's in an `it` of the case's name, further `describe`s (a usage, a
// kind of lock) between them. What is named otherwise has an expression for `describe > ... > it`. All tests found must pass.

const USAGES = ['kernel', 'write', 'read', 'bookkeep'];
const ALGORITHMS = ['wound-wait', 'wait-die'];
const VFIO_MODES = [
  'vfio_type1_iommu',
  'vfio_type1v2_iommu',
  'iommufd_compat_type1',
  'iommufd_compat_type1v2',
  'iommufd',
];

/** Cases that are run once in each `describe` of `groups`. */
const each = (groups, names) => groups.flatMap((group) => names.map((name) => `${group} > ${name}`));

export const SUITES = [
  {
    suite: 'st-dma-fence',
    source: 'drivers/dma-buf/st-dma-fence.c',
    cases: [
      'sanitycheck',
      'test_signaling',
      'test_add_callback',
      'test_late_add_callback',
      'test_rm_callback',
      'test_late_rm_callback',
      'test_status',
      'test_error',
      'test_wait',
      'test_wait_timeout',
      'test_stub',
      'race_signal_callback',
    ],
  },
  {
    suite: 'st-dma-fence-chain',
    source: 'drivers/dma-buf/st-dma-fence-chain.c',
    cases: [
      'sanitycheck',
      'find_seqno',
      'find_signaled',
      'find_out_of_order',
      'find_gap',
      'find_race',
      'signal_forward',
      'signal_backward',
      'wait_forward',
      'wait_backward',
      'wait_random',
    ],
  },
  {
    suite: 'st-dma-fence-unwrap',
    source: 'drivers/dma-buf/st-dma-fence-unwrap.c',
    cases: [
      'sanitycheck',
      'unwrap_array',
      'unwrap_chain',
      'unwrap_chain_array',
      'unwrap_merge',
      'unwrap_merge_duplicate',
      'unwrap_merge_seqno',
      'unwrap_merge_order',
      'unwrap_merge_complex',
      'unwrap_merge_complex_seqno',
    ],
  },
  {
    suite: 'st-dma-resv',
    source: 'drivers/dma-buf/st-dma-resv.c',
    cases: [
      'sanitycheck',
      ...each(USAGES, ['test_signaling', 'test_for_each', 'test_for_each_unlocked', 'test_get_fences']),
    ],
  },
  {
    suite: 'test-ww_mutex',
    source: 'kernel/locking/test-ww_mutex.c',
    cases: each(ALGORITHMS, [
      'test_mutex',
      'test_aa',
      'test_abba',
      'test_cycle',
      'stress_inorder_work',
      'stress_reorder_work',
      'stress_one_work',
    ]),
  },
  {
    suite: 'selftests/sync',
    source: 'tools/testing/selftests/sync',
    cases: [
      'alloc_timeline',
      'alloc_fence',
      'alloc_fence_negative',
      'fence_one_timeline_wait',
      'fence_one_timeline_merge',
      'fence_merge_same_fence',
      'fence_multi_timeline_wait',
      'stress_two_threads_shared_timeline',
      'consumer_stress_multi_producer_single_consumer',
      'merge_stress_random_merge',
    ],
  },
  {
    suite: 'selftests/dmabuf-heaps',
    source: 'tools/testing/selftests/dmabuf-heaps/dmabuf-heap.c',
    cases: [
      ['test_alloc_and_import', /Testing heap: .* > Import buffer 0; test_alloc_and_import dmabuf sync succeeded$/],
      ['test_alloc_zeroed, 4 KiB', /Testing heap: .* > Allocate and fill .* zeroed: 4096 bytes$/],
      ['test_alloc_zeroed, 1 MiB', /Testing heap: .* > Allocate and fill .* zeroed: 1048576 bytes$/],
      ['test_alloc_compat, older', /Testing heap: .* > dmabuf_heap_alloc_older$/],
      ['test_alloc_compat, newer', /Testing heap: .* > dmabuf_heap_alloc_newer$/],
      ['test_alloc_errors, fd', /Testing heap: .* > Error expected on invalid fd -1$/],
      ['test_alloc_errors, heap flags', /Testing heap: .* > Error expected on invalid heap flags -1$/],
      [
        'test_alloc_errors, fd flags',
        /Testing heap: .* > Error expected on invalid heap flags -1 \(the flags of the desc/,
      ],
      ['test_no_fd_leak_on_efault', /Testing heap: .* > fd leak on EFAULT$/],
    ],
  },
  {
    suite: 'drivers/dma-buf/udmabuf',
    source: 'tools/testing/selftests/drivers/dma-buf/udmabuf.c',
    cases: [1, 2, 3, 4, 5, 6, 7].map((n) => [
      `test-${n}`,
      new RegExp(`^drivers/dma-buf/udmabuf > (?:.* > )?\\[PASS,test-${n}\\]`),
    ]),
  },
  {
    suite: 'bpf/dmabuf_iter',
    source: 'tools/testing/selftests/bpf/prog_tests/dmabuf_iter.c',
    cases: ['no_infinite_reads', 'default_iter', 'lots_of_buffers', 'open_coded'],
  },
  {
    suite: 'IGT dmabuf_sync_file',
    source: 'igt-gpu-tools, tests/dmabuf_sync_file.c',
    cases: [
      'export-basic',
      'export-before-signal',
      'export-multiwait',
      'export-wait-after-attach',
      'import-basic',
      'import-multiple-read-only',
      'import-multiple-read-write',
    ],
  },
  {
    suite: 'IGT sw_sync',
    source: 'igt-gpu-tools, tests/sw_sync.c',
    cases: [
      'alloc_timeline',
      'alloc_fence',
      'alloc_fence_invalid_timeline',
      'timeline_closed',
      'timeline_closed_signaled',
      'alloc_merge_fence',
      'sync_busy',
      'sync_busy_fork',
      'sync_busy_fork_unixsocket',
      'sync_merge_invalid',
      'sync_merge',
      'sync_merge_same',
      'sync_multi_timeline_wait',
      'sync_multi_consumer',
      'sync_multi_consumer_producer',
      'sync_multi_producer_single_consumer',
      'sync_expired_merge',
      'sync_random_merge',
    ],
  },
  {
    suite: 'vfio_pci_device_test',
    source: 'tools/testing/selftests/vfio/vfio_pci_device_test.c',
    cases: ['config_space_read_write', 'validate_bars', 'reset'],
  },
  {
    suite: 'vfio_pci_irq_test',
    source: 'tools/testing/selftests/vfio/vfio_pci_irq_test.c',
    cases: ['enable_trigger_disable, msi', 'enable_trigger_disable, msix'],
  },
  {
    suite: 'vfio_pci_driver_test',
    source: 'tools/testing/selftests/vfio/vfio_pci_driver_test.c',
    cases: [
      ['send_msi', /^vfio_pci_driver_test > send_msi, /],
      'init_remove',
      'memcpy_success',
      'memcpy_from_unmapped_iova',
      'memcpy_to_unmapped_iova',
      'mix_and_match',
      'memcpy_storm',
    ],
  },
  {
    suite: 'vfio_dma_mapping_test',
    source: 'tools/testing/selftests/vfio/vfio_dma_mapping_test.c',
    cases: each(VFIO_MODES, [
      'anonymous.dma_map_unmap',
      'anonymous_hugetlb_2mb.dma_map_unmap',
      'anonymous_hugetlb_1gb.dma_map_unmap',
    ]),
  },
  {
    suite: 'vfio_dma_map_limit_test',
    source: 'tools/testing/selftests/vfio/vfio_dma_mapping_test.c',
    cases: each(VFIO_MODES, ['unmap_range', 'unmap_all', 'overflow']),
  },
  {
    suite: 'vfio_dma_mapping_mmio_test',
    source: 'tools/testing/selftests/vfio/vfio_dma_mapping_mmio_test.c',
    cases: each(VFIO_MODES, ['map_full_bar', 'map_partial_bar', 'map_bar_misaligned']),
  },
  {
    suite: 'vfio_pci_sriov_uapi_test',
    source: 'tools/testing/selftests/vfio/vfio_pci_sriov_uapi_test.c',
    cases: each(['same', 'diff', 'null'], ['init_token_match', 'pf_early_close', 'override_token']),
  },
  {
    suite: 'tests that the kernel lacks',
    source: 'none',
    cases: [
      ['poll: every fence wakes, and the next is hooked', /^poll of a buffer .* > wakes a poller for each fence/],
      ['poll: one callback for each direction', /^poll of a buffer .* > has one callback for each direction/],
      [
        'poll: who gave up keeps the buffer',
        /^poll of a buffer .* > that gave up leaves a callback that holds the buffer/,
      ],
      ['poll: asks the driver of the fence', /^poll of a buffer .* > asks the driver of the fence/],
      ['poll: waits for the lock', /^poll of a buffer in workers > waits for somebody who holds resv/],
      ['add_fence: what replaces what', /^dma_resv_add_fence > /],
      ['release: order of its steps', /^release .* > hides the buffer from iterators, then calls the exporter/],
      ['map: what a failure undoes', /^unwinding of a map /],
      ['EXPORT_SYNC_FILE: order of errors', /^DMA_BUF_IOCTL_EXPORT_SYNC_FILE /],
      ['IMPORT_SYNC_FILE: order of errors', /^DMA_BUF_IOCTL_IMPORT_SYNC_FILE /],
      ['revoke: its invariants', /^RevocableExport /],
      ['revoke: against threads that attach and map', /^two threads against a revoker > /],
      ['vmap: counting', /^vmap /],
      ['sw_sync: values at 2^31 and 2^32', /^SwSyncTimeline .* > compares values as signed 32 bit: /],
      ['wait_any: index and timeout', /^dma_fence_wait_any_timeout > /],
      ['fence arrays: asynchronous end', /^fence arrays > /],
      ['fence chains: asynchronous end', /^fence chains > /],
    ],
  },
];
