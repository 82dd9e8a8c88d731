import { KernelError, type Machine } from '@dmabuf-emu/shm';
import type { Fence } from '../../fence/fence.ts';
import { fenceUnwrap } from '../../fence/unwrap.ts';
import { cutName } from './name.ts';

/** What a sync_file tells of one of its fences. @kernel sync_fence_info */
export interface SyncFenceInfo {
  /** Name of the timeline, cut to 31 bytes. */
  readonly objName: string;
  /** Cut to 31 bytes. */
  readonly driverName: string;
  /** 0 while active, 1, or the negative error. */
  readonly status: number;
  /** When it ended, on the machine's clock; 0 while active. */
  readonly timestampNs: number;
}

/** @kernel sync_file_info */
export interface SyncFileInfo {
  readonly name: string;
  readonly status: number;
  readonly numFences: number;
  /** Left out when their number was asked for only. */
  readonly fences?: readonly SyncFenceInfo[];
}

/** What is known of the fences that `fence` consists of: see `SyncFile.info`. @kernel sync_file_ioctl_fence_info */
export function describeFences(machine: Machine, fence: Fence, room: number): Omit<SyncFileInfo, 'name'> {
  const numFences = [...fenceUnwrap(machine, fence.ref)].length;
  if (room === 0) return { status: fence.status(), numFences };
  if (room < numFences) {
    throw new KernelError('EINVAL', 'SYNC_IOC_FILE_INFO', `there are ${numFences} fences, room for ${room}`);
  }
  if (machine.faults.armed) machine.faults.check('sync_file_ioctl_fence_info');
  const fences = [...map(fenceUnwrap(machine, fence.ref), describeFence)];
  const status = fences.reduce((sum, info) => (sum <= 0 ? sum : info.status), 1);
  return { status, numFences: fences.length, fences };
}

/** The names come first: a fence that is found signalled here is shown with its own. @kernel sync_fill_fence_info */
function describeFence(fence: Fence): SyncFenceInfo {
  const objName = cutName(fence.timelineName());
  const driverName = cutName(fence.driverName());
  const status = fence.status();
  return { objName, driverName, status, timestampNs: fence.isSignaled() ? fence.timestampNs() : 0 };
}

function* map<T, R>(values: Iterable<T>, fn: (value: T) => R): Generator<R> {
  for (const value of values) yield fn(value);
}
