import { isKernelError, KernelError } from '@dmabuf-emu/shm';
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
} from '../../abi/drm.ts';
import { close } from '../../syscalls/descriptor.ts';
import { ioctl } from '../../syscalls/ioctl.ts';
import { open } from '../../syscalls/open.ts';
import { op, type Op } from './op.ts';
import type { OpCall } from './op-call.ts';

const RDWR_CLOEXEC = 0o2000002n;
const NODES = 16;
const FIRST_RENDER_NODE = 128;

/** Operations of DRM: GEM, PRIME, dumb buffers, vgem. */
export const DRM_OPS: readonly Op[] = [
  op('drm_open', { driver: 'text', node: 'text?', flags: 'number?' }, drmOpen),
  op('drm_version', { fd: 'number' }, (call) => {
    const { name, date, desc, version } = drmVersion(call, call.s32('fd'));
    Object.assign(call.answer, { ret: 0, name, desc, date, version });
  }),
  op('drm_cap', { fd: 'number', cap: 'number' }, (call) => {
    const { out } = call.ioctl(call.s32('fd'), DRM_IOCTL_GET_CAP, { capability: call.u64('cap') });
    call.returns(0);
    call.set('value', out.value);
  }),
  op('dumb_create', { drm: 'number', w: 'number?', h: 'number?', bpp: 'number?', flags: 'number?' }, (call) => {
    const { ret, out } = call.ioctl(call.s32('drm'), DRM_IOCTL_MODE_CREATE_DUMB, {
      width: call.u32('w', 64n),
      height: call.u32('h', 16n),
      bpp: call.u32('bpp', 32n),
      flags: call.u32('flags', 0n),
    });
    returnsId(call, ret, 'handle', out.handle);
    call.set('pitch', out.pitch);
    call.set('size', out.size);
    call.keepAs('size', out.size);
  }),
  op('dumb_map', { drm: 'number', handle: 'number', pad: 'number?' }, (call) => {
    const { ret, out } = call.ioctl(call.s32('drm'), DRM_IOCTL_MODE_MAP_DUMB, {
      handle: call.u32('handle'),
      pad: call.u32('pad', 0n),
    });
    call.keep(out.offset);
    call.returns(ret);
  }),
  op('dumb_destroy', { drm: 'number', handle: 'number' }, (call) =>
    call.returns(call.ioctl(call.s32('drm'), DRM_IOCTL_MODE_DESTROY_DUMB, { handle: call.u32('handle') }).ret),
  ),
  op('gem_close', { drm: 'number', handle: 'number', pad: 'number?' }, (call) => {
    const request = { handle: call.u32('handle'), pad: call.u32('pad', 0n) };
    call.returns(call.ioctl(call.s32('drm'), DRM_IOCTL_GEM_CLOSE, request).ret);
  }),
  op('gem_flink', { drm: 'number', handle: 'number' }, (call) => {
    const { ret, out } = call.ioctl(call.s32('drm'), DRM_IOCTL_GEM_FLINK, { handle: call.u32('handle') });
    returnsId(call, ret, 'name', out.name);
  }),
  op('gem_open', { drm: 'number', name: 'number' }, (call) => {
    const { ret, out } = call.ioctl(call.s32('drm'), DRM_IOCTL_GEM_OPEN, { name: call.u32('name') });
    returnsId(call, ret, 'handle', out.handle);
    call.set('size', out.size);
  }),
  op('gem_change_handle', { drm: 'number', handle: 'number', new: 'number' }, (call) => {
    const request = { handle: call.u32('handle'), new_handle: call.u32('new') };
    call.returns(call.ioctl(call.s32('drm'), DRM_IOCTL_GEM_CHANGE_HANDLE, request).ret);
  }),
  op('prime_export', { drm: 'number', handle: 'number', flags: 'number?' }, (call) => {
    const { out } = call.ioctl(call.s32('drm'), DRM_IOCTL_PRIME_HANDLE_TO_FD, {
      handle: call.u32('handle'),
      flags: call.u32('flags', RDWR_CLOEXEC),
      fd: -1,
    });
    call.returnsFd(out.fd);
  }),
  op('prime_import', { drm: 'number', fd: 'number', flags: 'number?' }, (call) => {
    const request = { fd: call.s32('fd'), flags: call.u32('flags', 0n) };
    const { ret, out } = call.ioctl(call.s32('drm'), DRM_IOCTL_PRIME_FD_TO_HANDLE, request);
    returnsId(call, ret, 'handle', out.handle);
  }),
  op('vgem_attach', { drm: 'number', handle: 'number', flags: 'number?', pad: 'number?' }, (call) => {
    const { ret, out } = call.ioctl(call.s32('drm'), DRM_IOCTL_VGEM_FENCE_ATTACH, {
      handle: call.u32('handle'),
      flags: call.u32('flags', 0n),
      pad: call.u32('pad', 0n),
    });
    returnsId(call, ret, 'fence', out.out_fence);
  }),
  op('vgem_signal', { drm: 'number', fence: 'number', flags: 'number?' }, (call) => {
    const request = { fence: call.u32('fence'), flags: call.u32('flags', 0n) };
    call.returns(call.ioctl(call.s32('drm'), DRM_IOCTL_VGEM_FENCE_SIGNAL, request).ret);
  }),
];

/** Answers with success and a number to keep. */
export function returnsId(call: OpCall, ret: number, key: string, id: number): void {
  call.keep(id);
  call.returns(ret);
  call.set(key, id);
}

/** Opens the first node whose driver has the name that is asked for. */
function drmOpen(call: OpCall): void {
  const { process } = call;
  const render = call.text('node') === 'render';
  const first = render ? FIRST_RENDER_NODE : 0;
  for (let index = first; index < first + NODES; index++) {
    const fd = openNode(call, `/dev/dri/${render ? 'renderD' : 'card'}${index}`);
    if (fd === undefined) continue;
    if (drmVersion(call, fd).name === call.text('driver')) {
      call.returnsFd(fd);
      return;
    }
    close(process, fd);
  }
  throw new KernelError('ENODEV', 'open', `no node has driver ${call.text('driver')}`);
}

function openNode(call: OpCall, path: string): number | undefined {
  try {
    return open(call.process, path, call.u32('flags', RDWR_CLOEXEC));
  } catch (error) {
    if (isKernelError(error)) return undefined;
    throw error;
  }
}

function drmVersion(call: OpCall, fd: number): Record<'name' | 'date' | 'desc' | 'version', string> {
  const { process } = call;
  const { memory } = process;
  const { struct, number } = DRM_IOCTL_VERSION;
  const room = { name: 63, desc: 127, date: 63 };
  const at = { name: 0, desc: 64, date: 192 };
  return memory.stack.with(new Uint8Array(256), (texts) => {
    const place = (key: keyof typeof at): bigint => texts + BigInt(at[key]);
    const request = struct.encode({
      name: place('name'),
      name_len: BigInt(room.name),
      desc: place('desc'),
      desc_len: BigInt(room.desc),
      date: place('date'),
      date_len: BigInt(room.date),
    });
    return memory.stack.with(request, (address) => {
      ioctl(process, fd, number, address);
      const { version_major: major, version_minor: minor, version_patchlevel: patch } = memory.get(address, struct);
      const text = (key: keyof typeof at): string => {
        const bytes = memory.read(place(key), room[key]);
        return Buffer.from(bytes.subarray(0, bytes.indexOf(0))).toString('latin1');
      };
      return { name: text('name'), desc: text('desc'), date: text('date'), version: `${major}.${minor}.${patch}` };
    });
  });
}
