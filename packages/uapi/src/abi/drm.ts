import { iow, iowr } from './ioctl-command.ts';
import { abiStruct, s32, u32, u64 } from './layout.ts';

export const DRM_IOCTL_VERSION = iowr(
  'DRM_IOCTL_VERSION',
  'd',
  0x00,
  abiStruct('drm_version', {
    version_major: s32,
    version_minor: s32,
    version_patchlevel: s32,
    name_len: u64,
    name: u64,
    date_len: u64,
    date: u64,
    desc_len: u64,
    desc: u64,
  }),
);

export const DRM_IOCTL_GEM_CLOSE = iow(
  'DRM_IOCTL_GEM_CLOSE',
  'd',
  0x09,
  abiStruct('drm_gem_close', { handle: u32, pad: u32 }),
);

export const DRM_IOCTL_GEM_FLINK = iowr(
  'DRM_IOCTL_GEM_FLINK',
  'd',
  0x0a,
  abiStruct('drm_gem_flink', { handle: u32, name: u32 }),
);

export const DRM_IOCTL_GEM_OPEN = iowr(
  'DRM_IOCTL_GEM_OPEN',
  'd',
  0x0b,
  abiStruct('drm_gem_open', { name: u32, handle: u32, size: u64 }),
);

export const DRM_IOCTL_GET_CAP = iowr(
  'DRM_IOCTL_GET_CAP',
  'd',
  0x0c,
  abiStruct('drm_get_cap', { capability: u64, value: u64 }),
);

const PrimeHandle = abiStruct('drm_prime_handle', { handle: u32, flags: u32, fd: s32 });

export const DRM_IOCTL_PRIME_HANDLE_TO_FD = iowr('DRM_IOCTL_PRIME_HANDLE_TO_FD', 'd', 0x2d, PrimeHandle);
export const DRM_IOCTL_PRIME_FD_TO_HANDLE = iowr('DRM_IOCTL_PRIME_FD_TO_HANDLE', 'd', 0x2e, PrimeHandle);

export const DRM_IOCTL_MODE_CREATE_DUMB = iowr(
  'DRM_IOCTL_MODE_CREATE_DUMB',
  'd',
  0xb2,
  abiStruct('drm_mode_create_dumb', {
    height: u32,
    width: u32,
    bpp: u32,
    flags: u32,
    handle: u32,
    pitch: u32,
    size: u64,
  }),
);

export const DRM_IOCTL_MODE_MAP_DUMB = iowr(
  'DRM_IOCTL_MODE_MAP_DUMB',
  'd',
  0xb3,
  abiStruct('drm_mode_map_dumb', { handle: u32, pad: u32, offset: u64 }),
);

export const DRM_IOCTL_MODE_DESTROY_DUMB = iowr(
  'DRM_IOCTL_MODE_DESTROY_DUMB',
  'd',
  0xb4,
  abiStruct('drm_mode_destroy_dumb', { handle: u32 }),
);

export const DRM_IOCTL_GEM_CHANGE_HANDLE = iowr(
  'DRM_IOCTL_GEM_CHANGE_HANDLE',
  'd',
  0xd2,
  abiStruct('drm_gem_change_handle', { handle: u32, new_handle: u32 }),
);

export const DRM_IOCTL_VGEM_FENCE_ATTACH = iowr(
  'DRM_IOCTL_VGEM_FENCE_ATTACH',
  'd',
  0x41,
  abiStruct('drm_vgem_fence_attach', { handle: u32, flags: u32, out_fence: u32, pad: u32 }),
);

export const DRM_IOCTL_VGEM_FENCE_SIGNAL = iow(
  'DRM_IOCTL_VGEM_FENCE_SIGNAL',
  'd',
  0x42,
  abiStruct('drm_vgem_fence_signal', { fence: u32, flags: u32 }),
);
