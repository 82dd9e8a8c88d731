import { prepareUdmabuf, registerDrm, registerHeaps } from '@dmabuf-emu/exporter-heap';
import type { Machine } from '@dmabuf-emu/shm';
import { behaviourTable } from './behaviours.ts';
import { DRM_BEHAVIOUR } from './drm-behaviour.ts';
import { addNodes } from './name-space.ts';
import { DRM_NODES } from './nodes/drm-nodes.ts';
import { DEBUG_NODES } from './nodes/debug-nodes.ts';
import { heapNodes } from './nodes/heap-nodes.ts';
import { PLAIN_NODES } from './nodes/plain-nodes.ts';
import { UDMABUF_NODES } from './nodes/udmabuf-nodes.ts';
import { SW_SYNC_BEHAVIOUR, SYNC_FILE_BEHAVIOUR } from './sync-behaviours.ts';
import { dmaBufBehaviour } from './dma-buf-behaviour.ts';
import { EPOLL_BEHAVIOUR, EVENT_FD_BEHAVIOUR } from './event-behaviours.ts';
import { memfdBehaviour } from './memfd-behaviour.ts';

/** Makes every kind of file and every path known to the calling thread. */
export function installFiles(machine: Machine): void {
  const table = behaviourTable(machine);
  table.set('dmabuf', () => dmaBufBehaviour(machine));
  table.set('[eventfd]', () => EVENT_FD_BEHAVIOUR);
  table.set('[eventpoll]', () => EPOLL_BEHAVIOUR);
  table.set('memfd', memfdBehaviour);
  table.set('sync_file', () => SYNC_FILE_BEHAVIOUR);
  table.set('sw_sync', () => SW_SYNC_BEHAVIOUR);
  table.set('drm', () => DRM_BEHAVIOUR);
  registerDrm(machine);
  prepareUdmabuf(machine);
  registerHeaps(machine);
  addNodes(machine, [...PLAIN_NODES, ...DEBUG_NODES, ...UDMABUF_NODES, ...heapNodes(machine), ...DRM_NODES]);
}
