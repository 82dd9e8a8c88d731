import {
  DRM_IOCTL_SYNCOBJ_CREATE,
  DRM_IOCTL_SYNCOBJ_DESTROY,
  DRM_IOCTL_SYNCOBJ_EVENTFD,
  DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE,
  DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD,
  DRM_IOCTL_SYNCOBJ_QUERY,
  DRM_IOCTL_SYNCOBJ_RESET,
  DRM_IOCTL_SYNCOBJ_SIGNAL,
  DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL,
  DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT,
  DRM_IOCTL_SYNCOBJ_TRANSFER,
  DRM_IOCTL_SYNCOBJ_WAIT,
} from '../../abi/syncobj.ts';
import { returnsId } from './drm-ops.ts';
import { op, type Op } from './op.ts';
import type { OpCall } from './op-call.ts';

/** Handles or points of one call. */
const MOST = 16;
const NS_PER_MS = 1_000_000n;

/** Operations of DRM sync objects. */
export const SYNCOBJ_OPS: readonly Op[] = [
  op('so_create', { drm: 'number', flags: 'number?' }, (call) => {
    const { ret, out } = call.ioctl(call.s32('drm'), DRM_IOCTL_SYNCOBJ_CREATE, { flags: call.u32('flags', 0n) });
    returnsId(call, ret, 'handle', out.handle);
  }),
  op('so_destroy', { drm: 'number', handle: 'number', pad: 'number?' }, (call) => {
    const request = { handle: call.u32('handle'), pad: call.u32('pad', 0n) };
    call.returns(call.ioctl(call.s32('drm'), DRM_IOCTL_SYNCOBJ_DESTROY, request).ret);
  }),
  op('so_to_fd', { drm: 'number', handle: 'number', flags: 'number?', point: 'number?' }, (call) => {
    const { out } = call.ioctl(call.s32('drm'), DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, {
      handle: call.u32('handle'),
      flags: call.u32('flags', 0n),
      fd: -1,
      point: call.u64('point', 0n),
    });
    call.returnsFd(out.fd);
  }),
  op('so_from_fd', { drm: 'number', fd: 'number', handle: 'number?', flags: 'number?', point: 'number?' }, (call) => {
    const { ret, out } = call.ioctl(call.s32('drm'), DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, {
      handle: call.u32('handle', 0n),
      flags: call.u32('flags', 0n),
      fd: call.s32('fd'),
      point: call.u64('point', 0n),
    });
    returnsId(call, ret, 'handle', out.handle);
  }),
  op(
    'so_wait',
    { drm: 'number', handles: 'numbers', points: 'numbers?', flags: 'number?', timeout_ms: 'number?', pad: 'number?' },
    wait,
  ),
  op('so_signal', { drm: 'number', handles: 'numbers', points: 'numbers?', flags: 'number?', pad: 'number?' }, signal),
  op('so_reset', { drm: 'number', handles: 'numbers', pad: 'number?' }, (call) => {
    const ret = withHandles(call, (handles, count) => {
      const request = { handles, count_handles: count, pad: call.u32('pad', 0n) };
      return call.ioctl(call.s32('drm'), DRM_IOCTL_SYNCOBJ_RESET, request).ret;
    });
    call.returns(ret);
  }),
  op('so_query', { drm: 'number', handles: 'numbers', flags: 'number?' }, query),
  op(
    'so_transfer',
    {
      drm: 'number',
      src: 'number',
      dst: 'number',
      src_point: 'number?',
      dst_point: 'number?',
      flags: 'number?',
      pad: 'number?',
    },
    (call) => {
      const { ret } = call.ioctl(call.s32('drm'), DRM_IOCTL_SYNCOBJ_TRANSFER, {
        src_handle: call.u32('src'),
        dst_handle: call.u32('dst'),
        src_point: call.u64('src_point', 0n),
        dst_point: call.u64('dst_point', 0n),
        flags: call.u32('flags', 0n),
        pad: call.u32('pad', 0n),
      });
      call.returns(ret);
    },
  ),
  op(
    'so_eventfd',
    { drm: 'number', handle: 'number', efd: 'number', point: 'number?', flags: 'number?', pad: 'number?' },
    (call) => {
      const { ret } = call.ioctl(call.s32('drm'), DRM_IOCTL_SYNCOBJ_EVENTFD, {
        handle: call.u32('handle'),
        flags: call.u32('flags', 0n),
        point: call.u64('point', 0n),
        fd: call.s32('efd'),
        pad: call.u32('pad', 0n),
      });
      call.returns(ret);
    },
  ),
];

/** `timeout_ms=` from now on the machine's clock; 0 only looks. */
function wait(call: OpCall): void {
  const { process } = call;
  const relativeMs = BigInt.asIntN(64, call.u64('timeout_ms', 0n));
  const nowNs = BigInt(Math.round(process.machine.clock.nowNs()));
  const timeout = relativeMs <= 0n ? relativeMs : nowNs + relativeMs * NS_PER_MS;
  const common = { timeout_nsec: timeout, flags: call.u32('flags', 0n), pad: call.u32('pad', 0n) };
  withHandles(call, (handles, count) => {
    const request = { ...common, handles, count_handles: count };
    const { ret, out } = call.has('points')
      ? withPoints(call, (points) =>
          call.ioctl(call.s32('drm'), DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, { ...request, points }),
        )
      : call.ioctl(call.s32('drm'), DRM_IOCTL_SYNCOBJ_WAIT, request);
    call.returns(ret);
    call.set('first', out.first_signaled);
  });
}

function signal(call: OpCall): void {
  const drm = call.s32('drm');
  withHandles(call, (handles, count) => {
    const request = { handles, count_handles: count };
    const { ret } = call.has('points')
      ? withPoints(call, (points) =>
          call.ioctl(drm, DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL, { ...request, points, flags: call.u32('flags', 0n) }),
        )
      : call.ioctl(drm, DRM_IOCTL_SYNCOBJ_SIGNAL, { ...request, pad: call.u32('pad', 0n) });
    call.returns(ret);
  });
}

function query(call: OpCall): void {
  const { memory } = call.process;
  withHandles(call, (handles, count) =>
    memory.stack.with(new Uint8Array(MOST * 8), (points) => {
      const request = { handles, points, count_handles: count, flags: call.u32('flags', 0n) };
      call.ioctl(call.s32('drm'), DRM_IOCTL_SYNCOBJ_QUERY, request);
      const bytes = memory.read(points, count * 8);
      call.returns(0);
      call.set('points', [...new BigUint64Array(bytes.buffer, bytes.byteOffset, count)]);
    }),
  );
}

function withHandles<T>(call: OpCall, fn: (address: bigint, count: number) => T): T {
  const handles = numbersOf(call, 'handles').map((value) => Number(BigInt.asUintN(32, value)));
  const bytes = new Uint8Array(Uint32Array.from(handles).buffer);
  return call.process.memory.stack.with(bytes, (address) => fn(address, handles.length));
}

function withPoints<T>(call: OpCall, fn: (address: bigint) => T): T {
  const bytes = new Uint8Array(BigUint64Array.from(numbersOf(call, 'points')).buffer);
  return call.process.memory.stack.with(bytes, fn);
}

function numbersOf(call: OpCall, key: string): bigint[] {
  return call
    .list(key)
    .slice(0, MOST)
    .map((text) => call.evaluate(text));
}
