import { defineQuirks } from '@dmabuf-emu/shm';

/** Behaviours of other kernels. A machine has those of its kernel, and those that its option `quirks` names. */
export const DRM_QUIRKS = defineQuirks({
  'drm.dumbPitchWraps': {
    what: 'the pitch of a dumb buffer is its width times bpp modulo 2^32, in bytes rounded up, also for odd bpp; 0 is ENOSPC',
    why: 'drm_mode_size_dumb came with 6.19',
    kernels: ['6.12'],
  },
  'drm.noChangeHandle': {
    what: 'GEM_CHANGE_HANDLE is EINVAL',
    why: 'the call came with 6.18 and was switched off after 7.1, since it raced with GEM_CLOSE',
    kernels: ['6.12', '7.3'],
  },
  'drm.shmemMmapLosesOffset': {
    what: 'a dma-buf of GEM pages that is mapped at an offset shows its first page: the offset is checked, then lost',
    why: 'defect of every kernel so far; 7.1 is emulated without it',
    kernels: ['6.12', '6.19', '7.0', '7.1-rc2', '7.3'],
  },
  'drm.noSyncobjPoints': {
    what: 'sync_files are exported and imported for whole sync objects only: the TIMELINE flag is EINVAL, a point is not looked at',
    why: 'points came with 6.16',
    kernels: ['6.12'],
  },
});
