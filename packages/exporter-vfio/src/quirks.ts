import type { KernelProfile, Machine } from '@dmabuf-emu/shm';

/**
 * Behaviours of earlier or unfixed kernels, by name (option `quirks` of the machine). None is on by default.
 *
 * | quirk | what it does |
 * |---|---|
 * | `vfio.krefUnderflow` | a revoke does not re-arm the count of mappings: closing a device whose buffers are revoked underflows it and waits for ever |
 * | `vfio.flrNoUnrevoke` | after a function level reset the buffers are revoked once more instead of un-revoked |
 * | `vfio.lowPowerUnrevoke` | a command or power state write un-revokes the buffers of a device that is in low power |
 * | `vfio.noBarClaim` | an export takes no BAR: one that is missing is EINVAL instead of ENODEV, one of another driver is exported |
 */
export const VFIO_QUIRKS = [
  'vfio.krefUnderflow',
  'vfio.flrNoUnrevoke',
  'vfio.lowPowerUnrevoke',
  'vfio.noBarClaim',
] as const;
export type VfioQuirk = (typeof VFIO_QUIRKS)[number];

const OF_KERNEL: Readonly<Partial<Record<KernelProfile, readonly VfioQuirk[]>>> = {
  '6.19': ['vfio.lowPowerUnrevoke', 'vfio.noBarClaim'],
  '7.0': ['vfio.lowPowerUnrevoke', 'vfio.noBarClaim'],
  '7.1-rc2': ['vfio.krefUnderflow', 'vfio.lowPowerUnrevoke', 'vfio.noBarClaim'],
  '7.3': ['vfio.lowPowerUnrevoke'],
};

/** Whether a behaviour is switched on, by its name or by the machine's kernel. */
export function vfioQuirk(machine: Machine, quirk: VfioQuirk): boolean {
  return machine.quirk(quirk) || OF_KERNEL[machine.options.kernel]?.includes(quirk) === true;
}
