import {
  DRM_IOCTL_GEM_CHANGE_HANDLE,
  DRM_IOCTL_GEM_CLOSE,
  DRM_IOCTL_GEM_FLINK,
  DRM_IOCTL_GEM_OPEN,
  DRM_IOCTL_GET_CAP,
  DRM_IOCTL_MODE_CREATE_DUMB,
  DRM_IOCTL_MODE_DESTROY_DUMB,
  DRM_IOCTL_MODE_MAP_DUMB,
  DRM_IOCTL_PRIME_FD_TO_HANDLE,
  DRM_IOCTL_PRIME_HANDLE_TO_FD,
  DRM_IOCTL_VERSION,
  DRM_IOCTL_VGEM_FENCE_ATTACH,
  DRM_IOCTL_VGEM_FENCE_SIGNAL,
} from '../abi/drm.ts';
import type { DrmFile } from '@dmabuf-emu/exporter-heap';
import { KernelError } from '@dmabuf-emu/shm';
import type { UserMemory } from '../process/user-memory.ts';
import { drmCommand, type DrmCommand, drmTable } from './drm-table.ts';
import { SYNCOBJ_COMMANDS } from './syncobj.ts';

const COMMANDS: readonly DrmCommand[] = [
  drmCommand(DRM_IOCTL_VERSION, ({ drm, call, args }) => {
    const { name, date, desc, version } = drm.version();
    [args.version_major, args.version_minor, args.version_patchlevel] = version;
    const { memory } = call.process;
    args.name_len = copyField(memory, args.name, args.name_len, name);
    args.date_len = copyField(memory, args.date, args.date_len, date);
    args.desc_len = copyField(memory, args.desc, args.desc_len, desc);
  }),
  drmCommand(DRM_IOCTL_GET_CAP, ({ drm, args }) => {
    const { capability } = args;
    args.value = 0n;
    args.value = BigInt(drm.getCap(capability > 0xffffffffn ? -1 : Number(capability)));
  }),
  drmCommand(DRM_IOCTL_MODE_CREATE_DUMB, ({ drm, args }) => {
    args.handle = 0;
    args.pitch = 0;
    args.size = 0n;
    const { handle, pitch, size } = drm.createDumb(args);
    Object.assign(args, { handle, pitch, size: BigInt(size) });
  }),
  drmCommand(DRM_IOCTL_MODE_MAP_DUMB, ({ drm, args }) => {
    args.offset = BigInt(drm.mapDumb(args.handle));
  }),
  drmCommand(DRM_IOCTL_MODE_DESTROY_DUMB, ({ drm, args }) => drm.destroyDumb(args.handle)),
  drmCommand(DRM_IOCTL_GEM_CLOSE, ({ drm, args }) => drm.gemClose(args.handle)),
  drmCommand(DRM_IOCTL_GEM_FLINK, ({ drm, args }) => {
    args.name = drm.gemFlink(args.handle);
  }),
  drmCommand(DRM_IOCTL_GEM_OPEN, ({ drm, args }) => {
    const { handle, size } = drm.gemOpen(args.name);
    args.handle = handle;
    args.size = BigInt(size);
  }),
  drmCommand(DRM_IOCTL_GEM_CHANGE_HANDLE, ({ drm, args }) => drm.gemChangeHandle(args.handle, args.new_handle)),
  drmCommand(DRM_IOCTL_PRIME_HANDLE_TO_FD, ({ drm, args }) => {
    args.fd = drm.primeHandleToFd(args.handle, args.flags);
  }),
  drmCommand(DRM_IOCTL_PRIME_FD_TO_HANDLE, ({ drm, args }) => {
    args.handle = drm.primeFdToHandle(args.fd);
  }),
  drmCommand(DRM_IOCTL_VGEM_FENCE_ATTACH, ({ drm, args }) => {
    notOfVirtioGpu(drm, 'ENOENT', 'VIRTGPU_MAP');
    args.out_fence = drm.vgemFenceAttach(args);
  }),
  drmCommand(DRM_IOCTL_VGEM_FENCE_SIGNAL, ({ drm, args }) => {
    notOfVirtioGpu(drm, 'ENOSYS', 'VIRTGPU_EXECBUFFER');
    drm.vgemFenceSignal(args);
  }),
];

/** The ioctls of DRM devices. @kernel drm_ioctl */
export const drmIoctl = drmTable([...COMMANDS, ...SYNCOBJ_COMMANDS]);

/** Numbers of commands mean something else to every driver; those of virtio_gpu find no object, and no virgl. */
function notOfVirtioGpu({ driver }: DrmFile, code: 'ENOENT' | 'ENOSYS', command: string): void {
  if (driver.name === 'virtio_gpu') throw new KernelError(code, command, 'the device has no 3D');
}

/** Copies as much of a text as there is room for; returns its whole length. @kernel drm_copy_field */
function copyField(memory: UserMemory, address: bigint, room: bigint, text: string): bigint {
  const bytes = Buffer.from(text, 'latin1');
  const count = room < BigInt(bytes.length) ? Number(room) : bytes.length;
  if (count > 0 && address !== 0n) memory.write(address, bytes.subarray(0, count));
  return BigInt(bytes.length);
}
