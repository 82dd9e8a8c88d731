import type { FenceDriver, Importer } from '@dmabuf-emu/core';
import { doubleUnmapImporter } from './double-unmap.ts';
import { ignoresInvalidateImporter } from './ignores-invalidate.ts';
import { neverSignalsFence, neverSignalsImporter } from './never-signals.ts';
import { neverUnmapsImporter } from './never-unmaps.ts';
import { signalsTwiceFence, signalsTwiceImporter } from './signals-twice.ts';
import { skipsLockImporter } from './skips-lock.ts';
import { unmapsLateImporter } from './unmaps-late.ts';
import { usesStaleAddressImporter } from './uses-stale-address.ts';
import { writesAfterFenceFence, writesAfterFenceImporter } from './writes-after-fence.ts';

/** The operations of all rogues. */
export const ROGUE_IMPORTERS: readonly Importer[] = [
  ignoresInvalidateImporter,
  unmapsLateImporter,
  neverUnmapsImporter,
  writesAfterFenceImporter,
  usesStaleAddressImporter,
  doubleUnmapImporter,
  skipsLockImporter,
  neverSignalsImporter,
  signalsTwiceImporter,
];

/** The fences of those rogues that have any. */
export const ROGUE_FENCES: readonly FenceDriver[] = [neverSignalsFence, signalsTwiceFence, writesAfterFenceFence];
