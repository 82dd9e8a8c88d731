import { OpenFlags, PAGE_BYTES } from '@dmabuf-emu/core';
import { DrmFile } from '@dmabuf-emu/exporter-heap';
import { KernelError } from '@dmabuf-emu/shm';
import { drmIoctl } from '../ioctl/drm.ts';
import { sleepMs } from '../syscalls/sleep.ts';
import { type FileBehaviour, FileKind, FsMagic } from './file-behaviour.ts';

/** @kernel vgem_driver_fops, vkms_driver_fops, virtio_gpu_driver_fops */
export const DRM_BEHAVIOUR: FileBehaviour = {
  seekable: true,
  positioned: true,
  magic: FsMagic.TMPFS,
  stat: (file) => ({ mode: FileKind.CHARACTER | 0o600, blksize: PAGE_BYTES, ino: DrmFile.of(file).driver.minor }),
  // There are no events to read: whoever may wait for one waits for a signal.
  read: ({ process, file }) => {
    if ((file.flags & OpenFlags.NONBLOCK) !== 0) throw new KernelError('EAGAIN', 'drm_read', 'there is no event');
    sleepMs(process, Number.POSITIVE_INFINITY);
    return new Uint8Array();
  },
  ioctl: drmIoctl,
};
