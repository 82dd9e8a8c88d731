import { DMA_BUF_OPS } from './dma-buf-ops.ts';
import { DRM_OPS } from './drm-ops.ts';
import { FILE_OPS } from './file-ops.ts';
import { MEMORY_OPS } from './memory-ops.ts';
import type { Op } from './op.ts';
import { POLL_OPS } from './poll-ops.ts';
import { SYNC_OPS } from './sync-ops.ts';
import { SYNCOBJ_OPS } from './syncobj-ops.ts';
import { SYSTEM_OPS } from './system-ops.ts';

/** Operations that can be carried out, by name. */
export const OPERATIONS: ReadonlyMap<string, Op> = new Map(
  [...FILE_OPS, ...MEMORY_OPS, ...SYSTEM_OPS, ...POLL_OPS, ...DMA_BUF_OPS, ...SYNC_OPS, ...DRM_OPS, ...SYNCOBJ_OPS].map(
    (one) => [one.name, one],
  ),
);

/** Operations of the language that belong to VFIO, iommufd and its test devices. */
export const OUT_OF_SCOPE_OPERATIONS: ReadonlySet<string> = new Set(
  `reg_write reg_read iommu_destroy ioas_alloc ioas_map ioas_map_file ioas_unmap ioas_copy ioas_ranges ioas_allow
  ioas_change_process iommu_option iommu_vfio_ioas hwpt_alloc hwpt_set_dirty hwpt_get_dirty get_hw_info t_mock_domain
  t_md_replace t_check_map t_check_refs t_create_access t_access_pages t_destroy_access_pages t_access_rw
  t_access_replace_ioas t_add_reserved t_mem_limit t_dirty t_dmabuf_get t_dmabuf_revoke vfio_bind vfio_attach vfio_detach
  vfio_info vfio_region vfio_reset vfio_feature vfio_dmabuf`.split(/\s+/),
);

/** Families of scenarios about VFIO, iommufd and its test devices. */
export const OUT_OF_SCOPE_FAMILIES: ReadonlySet<string> = new Set(['vfio', 'iommufd', 'mock']);
