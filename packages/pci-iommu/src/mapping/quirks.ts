import type { KernelProfile, Machine } from '@dmabuf-emu/shm';

/**
 * Known defects of the mapping helper, by name. None is on by default.
 *
 * | quirk | what it does |
 * |---|---|
 * | `mapping.chunkAddress32` | addresses of the third and later entries of a range wrap at 32 bits |
 * | `mapping.mappedLen32` | the length mapped so far wraps at 4 GiB |
 * | `mapping.chunkUintMax` | ranges are split at 2^32 - 1 bytes, which is not page aligned |
 * | `mapping.iovaLinkOffsetZero` | every range is linked at IOVA offset 0: a second one fails |
 * | `mapping.iovaFreeMappedLen` | only the mapped length of an IOVA range is given back |
 * | `mapping.leakEntryArray` | the table of a mapping is never freed |
 * | `mapping.leakIova` | the IOVAs leak when linking range 0 or allocating the table fails |
 * | `mapping.unmapUnfilled` | when direct mapping fails, entries that were not filled yet are unmapped too |
 */
export const MAPPING_QUIRKS = [
  'mapping.chunkAddress32',
  'mapping.mappedLen32',
  'mapping.chunkUintMax',
  'mapping.iovaLinkOffsetZero',
  'mapping.iovaFreeMappedLen',
  'mapping.leakEntryArray',
  'mapping.leakIova',
  'mapping.unmapUnfilled',
] as const;
export type MappingQuirk = (typeof MAPPING_QUIRKS)[number];

/** Defects that a kernel has and that callers can see. The leaks are only switched on by name. */
const OF_KERNEL: Readonly<Partial<Record<KernelProfile, readonly MappingQuirk[]>>> = {
  '6.19': ['mapping.chunkUintMax', 'mapping.mappedLen32', 'mapping.iovaLinkOffsetZero', 'mapping.iovaFreeMappedLen'],
  '7.0': ['mapping.chunkUintMax', 'mapping.mappedLen32', 'mapping.iovaLinkOffsetZero', 'mapping.iovaFreeMappedLen'],
  '7.1-rc2': ['mapping.chunkUintMax', 'mapping.mappedLen32', 'mapping.iovaLinkOffsetZero', 'mapping.iovaFreeMappedLen'],
  '7.3': ['mapping.iovaLinkOffsetZero'],
};

/** Whether a defect is switched on, by its name or by the machine's kernel. */
export function mappingQuirk(machine: Machine, quirk: MappingQuirk): boolean {
  return machine.quirk(quirk) || OF_KERNEL[machine.options.kernel]?.includes(quirk) === true;
}
