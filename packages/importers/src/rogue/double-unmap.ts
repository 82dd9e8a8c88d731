import { defineImporter, DmaDirection, type Importer } from '@dmabuf-emu/core';
import { rogueName } from './rogue-kind.ts';
import { breachingCallback } from './rogue-odp-session.ts';

/** Its callback unmaps what it has just unmapped. */
export const doubleUnmapImporter: Importer = defineImporter({
  name: rogueName('double-unmap'),
  allowPeer2Peer: true,
  invalidateMappings: breachingCallback((mr) => {
    const table = mr.umem.table!;
    mr.invalidate();
    mr.umem.attachment.unmap(table, DmaDirection.BIDIRECTIONAL);
  }),
});
