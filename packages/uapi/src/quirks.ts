import { defineQuirks } from '@dmabuf-emu/shm';

/** Behaviours of system calls in which kernels differ. */
export const UAPI_QUIRKS = defineQuirks({
  'uapi.pseudoFsExec': {
    what: 'mappings of dma-bufs may be made executable: smaps shows them with me',
    why: 'file systems without a mount point forbid it since a release between 6.12 and 6.19',
    kernels: ['6.12'],
  },
});
