import type { DmaBuf } from '@dmabuf-emu/core';
import { isRevoked as isRevokedByRdma } from '@dmabuf-emu/exporter-rdma';
import { isRevoked as isRevokedByVfio } from '@dmabuf-emu/exporter-vfio';
import type { BufferPlan } from '../plan/run-plan.ts';

/** What the exporter of a buffer says: whether it is revoked. Stable while resv is held. */
export function isRevoked({ exporter }: BufferPlan, dmabuf: DmaBuf): boolean {
  switch (exporter) {
    case 'vfio':
      return isRevokedByVfio(dmabuf);
    case 'rdma':
      return isRevokedByRdma(dmabuf);
    case 'heap':
      return false;
  }
}
