import { OpenFlags } from '@dmabuf-emu/core';
import { SW_SYNC_GET_DEADLINE, SW_SYNC_IOC_CREATE_FENCE, SW_SYNC_IOC_INC } from '../../abi/sw-sync.ts';
import {
  SYNC_IOC_FILE_INFO,
  SYNC_IOC_MERGE,
  SYNC_IOC_SET_DEADLINE,
  SYNC_NAME_BYTES,
  SyncFenceInfo,
} from '../../abi/sync-file.ts';
import { ioctl } from '../../syscalls/ioctl.ts';
import { open } from '../../syscalls/open.ts';
import type { ResultValue } from '../results/json-text.ts';
import { op, type Op } from './op.ts';
import type { OpCall } from './op-call.ts';

const SW_SYNC_PATH = '/sys/kernel/debug/sync/sw_sync';
/** Fences that sync_info has room for. */
const MOST_FENCES = 256n;

/** Operations of sw_sync and sync_file. */
export const SYNC_OPS: readonly Op[] = [
  op('sw_open', {}, (call) => call.returnsFd(open(call.process, SW_SYNC_PATH, OpenFlags.RDWR | OpenFlags.CLOEXEC))),
  op('sw_fence', { tl: 'number', value: 'number', name: 'text?' }, (call) => {
    const { out } = call.ioctl(call.s32('tl'), SW_SYNC_IOC_CREATE_FENCE, {
      value: call.u32('value'),
      name: nameBytes(call.text('name', 'f')),
      fence: -1,
    });
    call.returnsFd(out.fence);
  }),
  op('sw_inc', { tl: 'number', by: 'number?' }, (call) =>
    call.returns(call.ioctl(call.s32('tl'), SW_SYNC_IOC_INC, { value: call.u32('by', 1n) }).ret),
  ),
  op('sw_deadline', { tl: 'number', fence: 'number?', ns: 'number?', pad: 'number?' }, (call) => {
    const { out } = call.ioctl(call.s32('tl'), SW_SYNC_GET_DEADLINE, {
      deadline_ns: call.u64('ns', 0n),
      pad: call.u32('pad', 0n),
      fence_fd: call.s32('fence', -1n),
    });
    call.returns(0);
    call.set('deadline_ns', out.deadline_ns);
  }),
  op(
    'sync_info',
    { fd: 'number', num: 'number?', flags: 'number?', pad: 'number?', ptr: 'number?', name_in: 'text?' },
    syncInfo,
  ),
  op(
    'sync_merge',
    { fd: 'number', fd2: 'number?', name: 'text?', fullname: 'number?', flags: 'number?', pad: 'number?' },
    (call) => {
      const full = call.u64('fullname', 0n) !== 0n;
      const { out } = call.ioctl(call.s32('fd'), SYNC_IOC_MERGE, {
        name: full ? new Uint8Array(SYNC_NAME_BYTES).fill(0x6e) : nameBytes(call.text('name', 'merged')),
        fd2: call.s32('fd2', -1n),
        fence: -1,
        flags: call.u32('flags', 0n),
        pad: call.u32('pad', 0n),
      });
      call.returnsFd(out.fence);
    },
  ),
  op('sync_deadline', { fd: 'number', ns: 'number', pad: 'number?' }, (call) => {
    const { ret } = call.ioctl(call.s32('fd'), SYNC_IOC_SET_DEADLINE, {
      deadline_ns: call.u64('ns'),
      pad: call.u64('pad', 0n),
    });
    call.returns(ret);
  }),
];

function syncInfo(call: OpCall): void {
  const { memory } = call.process;
  const { struct, number } = SYNC_IOC_FILE_INFO;
  const capacity = call.u32('num', 32n);
  const room = Number(BigInt(capacity) > MOST_FENCES ? MOST_FENCES : capacity);
  memory.stack.with(new Uint8Array((room + 1) * SyncFenceInfo.size), (fences) => {
    const request = struct.encode({
      name: nameBytes(call.text('name_in')),
      num_fences: capacity,
      flags: call.u32('flags', 0n),
      pad: call.u32('pad', 0n),
      sync_fence_info: call.u64('ptr', fences),
    });
    memory.stack.with(request, (address) => {
      call.attempt(() => call.returns(ioctl(call.process, call.s32('fd'), number, address)));
      const out = memory.get(address, struct);
      if (call.answer['errno'] !== undefined) {
        call.set('num_fences', out.num_fences);
        return;
      }
      call.set('name', withoutContext(textOf(out.name)));
      call.set('status', out.status);
      call.set('num_fences', out.num_fences);
      call.set('flags_out', out.flags);
      if (capacity === 0 || call.has('ptr')) return;
      const count = Math.min(out.num_fences, room);
      const at = (index: number): bigint => fences + BigInt(index * SyncFenceInfo.size);
      call.set(
        'fences',
        Array.from({ length: count }, (_, index) => describeFence(call, at(index))),
      );
    });
  });
}

function describeFence(call: OpCall, address: bigint): ResultValue {
  const info = call.process.memory.get(address, SyncFenceInfo);
  return {
    obj: textOf(info.obj_name),
    driver: textOf(info.driver_name),
    status: info.status,
    flags: info.flags,
    ts: info.timestamp_ns === 0n ? '0' : 'set',
  };
}

/** "drv-tl123-5" becomes "drv-tl#-5": numbers of fence contexts count on for the life of the machine. */
function withoutContext(name: string): string {
  const at = name.lastIndexOf('-');
  return at <= 0 ? name : name.slice(0, at).replace(/\d+$/, '#') + name.slice(at);
}

function nameBytes(text: string): Uint8Array {
  return Buffer.from(text.slice(0, SYNC_NAME_BYTES - 1), 'latin1');
}

function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end === -1 ? bytes : bytes.subarray(0, end)).toString('latin1');
}
