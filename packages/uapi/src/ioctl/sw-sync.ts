import { SwSyncTimeline } from '@dmabuf-emu/core';
import { SW_SYNC_GET_DEADLINE, SW_SYNC_IOC_CREATE_FENCE, SW_SYNC_IOC_INC } from '../abi/sw-sync.ts';
import type { IoctlCall } from '../files/file-behaviour.ts';
import { ioctlTable } from './ioctl-table.ts';

/** @kernel KTIME_MAX */
const KTIME_MAX = 2n ** 63n - 1n;

/** @kernel sw_sync_ioctl */
export const swSyncIoctl = ioctlTable([
  [SW_SYNC_IOC_CREATE_FENCE.number, createFence],
  [SW_SYNC_IOC_INC.number, inc],
  [SW_SYNC_GET_DEADLINE.number, getDeadline],
]);

function createFence({ process, file, argument }: IoctlCall): number {
  const { memory } = process;
  const { struct } = SW_SYNC_IOC_CREATE_FENCE;
  let request: ReturnType<typeof struct.decode>;
  SwSyncTimeline.of(file).createFenceFd(
    () => (request = memory.get(argument, struct)).value,
    (fence) => memory.put(argument, struct, { ...request, fence }),
  );
  return 0;
}

function inc({ process, file, argument }: IoctlCall): number {
  SwSyncTimeline.of(file).inc(process.memory.get(argument, SW_SYNC_IOC_INC.struct).value);
  return 0;
}

function getDeadline({ process, file, argument }: IoctlCall): number {
  const { memory } = process;
  const { struct } = SW_SYNC_GET_DEADLINE;
  const request = memory.get(argument, struct);
  const { deadline_ns: given, pad, fence_fd: fd } = request;
  const deadline = SwSyncTimeline.of(file).deadline({ fd, deadlineNs: given === 0n ? 0 : 1, pad });
  memory.put(argument, struct, { ...request, deadline_ns: exactTime(deadline) });
  return 0;
}

/** The kernel's times are signed: the latest one is beyond what a number tells apart. */
function exactTime(ns: number): bigint {
  return ns >= 2 ** 63 ? KTIME_MAX : BigInt(ns);
}
