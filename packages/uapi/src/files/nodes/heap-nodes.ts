import { DmaHeap } from '@dmabuf-emu/exporter-heap';
import type { Machine } from '@dmabuf-emu/shm';
import { heapIoctl } from '../../ioctl/dma-heap.ts';
import { FsMagic } from '../file-behaviour.ts';
import type { FsNode } from '../fs-node.ts';
import { deviceNode } from './device-node.ts';
import { textNode } from './text-node.ts';

/** Major number that the devices of heaps are given. */
const MAJOR = 254;

/** The devices of the machine's heaps, and what sysfs tells of them. */
export function heapNodes(machine: Machine): readonly FsNode[] {
  return DmaHeap.all(machine).flatMap(({ name, minor }) => [
    deviceNode(`/dev/dma_heap/${name}`, { positioned: false, ioctl: heapIoctl(name) }),
    textNode({
      path: `/sys/class/dma_heap/${name}/uevent`,
      permissions: 0o644,
      magic: FsMagic.SYSFS,
      show: () => `MAJOR=${MAJOR}\nMINOR=${minor}\nDEVNAME=dma_heap/${name}\n`,
    }),
  ]);
}
