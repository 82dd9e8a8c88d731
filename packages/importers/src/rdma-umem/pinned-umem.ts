import { defineImporter, type Importer } from '@dmabuf-emu/core';
import { type Machine, orUndo } from '@dmabuf-emu/shm';
import { Umem, umemGet, type UmemInfo } from './umem.ts';

/** Pinned, and nobody can take it back. @kernel ib_umem_dmabuf_attach_pinned_ops */
export const pinnedUmemImporter: Importer = defineImporter({ name: 'pinned', allowPeer2Peer: true });

/** Pinned until it is revoked for good. @kernel ib_umem_dmabuf_attach_pinned_revocable_ops */
export const revocablePinnedUmemImporter: Importer = defineImporter({
  name: 'revocable-pinned',
  allowPeer2Peer: true,
  invalidateMappings: (attachment) => Umem.ofAttachment(attachment)?.revokeLocked(),
});

/**
 * Attaches, pins and maps a window for as long as the umem lives. Exporters that must be able to revoke refuse it.
 * @kernel ib_umem_dmabuf_get_pinned
 * @throws KernelError as {@link umemGet}; what pin and map throw.
 */
export function umemGetPinned(machine: Machine, info: UmemInfo): Umem {
  const umem = getPinnedAndLock(machine, info, pinnedUmemImporter);
  umem.revokeUnlock();
  return umem;
}

/**
 * {@link umemGetPinned} for a device that can be stopped at any time. Returns with resv held: the caller sets up its
 * hardware, calls {@link Umem.setRevokeLocked} and then {@link Umem.revokeUnlock}, so that no revoke comes in between.
 * @kernel ib_umem_dmabuf_get_pinned_revocable_and_lock
 */
export function umemGetPinnedRevocableAndLock(machine: Machine, info: UmemInfo): Umem {
  return getPinnedAndLock(machine, info, revocablePinnedUmemImporter);
}

function getPinnedAndLock(machine: Machine, info: UmemInfo, importer: Importer): Umem {
  const umem = umemGet(machine, info, importer);
  orUndo(
    () => {
      umem.resv.lock();
      orUndo(
        () => {
          umem.pin();
          umem.mapPages();
        },
        () => {
          umem.unpin();
          umem.resv.unlock();
        },
      );
    },
    () => umem.release(),
  );
  return umem;
}
