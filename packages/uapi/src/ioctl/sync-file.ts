import { SyncFile, type SyncFenceInfo as FenceInfo } from '@dmabuf-emu/core';
import {
  SYNC_IOC_FILE_INFO,
  SYNC_IOC_MERGE,
  SYNC_IOC_SET_DEADLINE,
  SYNC_NAME_BYTES,
  SyncFenceInfo,
} from '../abi/sync-file.ts';
import type { IoctlCall } from '../files/file-behaviour.ts';
import { untilNul } from './c-string.ts';
import { ioctlTable } from './ioctl-table.ts';

/** @kernel sync_file_ioctl */
export const syncFileIoctl = ioctlTable([
  [SYNC_IOC_MERGE.number, merge],
  [SYNC_IOC_FILE_INFO.number, fileInfo],
  [SYNC_IOC_SET_DEADLINE.number, setDeadline],
]);

function merge({ process, file, argument }: IoctlCall): number {
  const { memory } = process;
  const { struct } = SYNC_IOC_MERGE;
  let request: ReturnType<typeof struct.decode>;
  SyncFile.of(file).mergeFd(
    () => {
      request = memory.get(argument, struct);
      return { ...request, name: untilNul(request.name.subarray(0, SYNC_NAME_BYTES - 1)) };
    },
    (fence) => memory.put(argument, struct, { ...request, fence }),
  );
  return 0;
}

function fileInfo({ process, file, argument }: IoctlCall): number {
  const { memory } = process;
  const { struct } = SYNC_IOC_FILE_INFO;
  const request = memory.get(argument, struct);
  const syncFile = SyncFile.of(file);
  const { flags, pad, num_fences: room } = request;
  const { status, numFences, fences = [] } = syncFile.info({ room, flags, pad });
  if (fences.length > 0) memory.write(request.sync_fence_info, Buffer.concat(fences.map(encodeFence)));
  memory.put(argument, struct, { ...request, name: syncFile.nameBytes, status, num_fences: numFences });
  return 0;
}

function encodeFence({ objName, driverName, status, timestampNs }: FenceInfo): Uint8Array {
  return SyncFenceInfo.encode({
    obj_name: Buffer.from(objName),
    driver_name: Buffer.from(driverName),
    status,
    timestamp_ns: BigInt(Math.round(timestampNs)),
  });
}

function setDeadline({ process, file, argument }: IoctlCall): number {
  const { deadline_ns: deadline, pad } = process.memory.get(argument, SYNC_IOC_SET_DEADLINE.struct);
  // The kernel's times are signed.
  SyncFile.of(file).setDeadline(Number(BigInt.asIntN(64, deadline)), pad === 0n ? 0 : 1);
  return 0;
}
