import { DmaHeap } from '@dmabuf-emu/exporter-heap';
import { isKernelError, KernelError } from '@dmabuf-emu/shm';
import { DMA_HEAP_IOCTL_ALLOC } from '../abi/dma-heap.ts';
import { IOC_READ, IOC_WRITE, ioctlParts } from '../abi/ioctl-command.ts';
import { UAPI_QUIRKS } from '../quirks.ts';
import type { IoctlHandler } from './ioctl-table.ts';

/**
 * The ioctl of a heap's device. Only the nr of the command is compared: any letter and any size of the struct will do, and a
 * direction that is left out is not copied. @kernel dma_heap_ioctl
 */
export function heapIoctl(name: string): IoctlHandler {
  const { struct } = DMA_HEAP_IOCTL_ALLOC;
  return ({ process, command, argument }) => {
    const { machine, memory, fds } = process;
    const { nr, direction, size } = ioctlParts(command);
    if (nr !== 0) throw new KernelError('EINVAL', 'dma_heap_ioctl', `there is no command ${nr}`);
    const given = (direction & IOC_WRITE) === 0 ? new Uint8Array() : memory.read(argument, size);
    const request = struct.decode(given);
    const { len, fd: slot, fd_flags: fdFlags, heap_flags: heapFlags } = request;
    const fd = DmaHeap.find(machine, name)!.alloc({ len, fd: slot, fdFlags, heapFlags });
    if ((direction & IOC_READ) === 0) return 0;
    const out = new Uint8Array(size);
    out.set(given);
    out.set(struct.encode({ ...request, fd }).subarray(0, size));
    try {
      memory.write(argument, out);
    } catch (error) {
      if (isKernelError(error) && !UAPI_QUIRKS.has(machine, 'uapi.heapFaultKeepsFd')) fds.close(fd);
      throw error;
    }
    return 0;
  };
}
