import { defineQuirks } from '@dmabuf-emu/shm';

/** Behaviours of system calls in which kernels differ. */
export const UAPI_QUIRKS = defineQuirks({
  'uapi.heapFaultKeepsFd': {
    what: 'an allocation whose answer cannot be stored fails with EFAULT, but leaves its descriptor open',
    why: 'defect of every kernel before 7.3; 7.1 is emulated without it',
    kernels: ['6.12', '6.19', '7.0', '7.1-rc2'],
  },
  'uapi.pseudoFsExec': {
    what: 'mappings of dma-bufs may be made executable: smaps shows them with me',
    why: 'file systems without a mount point forbid it since a release between 6.12 and 6.19',
    kernels: ['6.12'],
  },
});
