import { defineQuirks } from '@dmabuf-emu/shm';

/** Behaviours of earlier or unfixed kernels. A machine has those of its kernel, and those that its option `quirks` names. */
export const VFIO_QUIRKS = defineQuirks({
  'vfio.krefUnderflow': {
    what: 'a revoke does not re-arm the count of mappings: closing a device whose buffers are revoked underflows it and waits for ever',
    why: 'defect of v7.1-rc2, fixed before 7.1',
    kernels: ['7.1-rc2'],
  },
  'vfio.flrNoUnrevoke': {
    what: 'after a function level reset the buffers are revoked once more instead of un-revoked',
    why: 'defect that can be switched on alone',
    kernels: [],
  },
  'vfio.lowPowerUnrevoke': {
    what: 'a command or power state write un-revokes the buffers of a device that is in low power',
    why: 'defect of every kernel so far; 7.1 is emulated without it',
    kernels: ['6.19', '7.0', '7.1-rc2', '7.3'],
  },
  'vfio.noBarClaim': {
    what: 'an export takes no BAR: one that is missing is EINVAL instead of ENODEV, one of another driver is exported',
    why: 'the claim came with 7.1',
    kernels: ['6.19', '7.0', '7.1-rc2'],
  },
});
