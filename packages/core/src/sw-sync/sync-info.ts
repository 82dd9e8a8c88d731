import type { Machine } from '@dmabuf-emu/shm';
import { Fence } from '../fence/fence.ts';
import { fencePut, fenceTryGet } from '../fence/functions.ts';
import { prepareSwSync } from './internal/file-ops.ts';
import { PointStruct as P, TimelineStruct as T } from './internal/structs.ts';
import { getTimelines, pointsOf, putTimeline, withTimeline } from './internal/timeline.ts';

const RULE = '--------------\n';

/** The text of debugfs `sync/info`: every timeline with its points, which are polled. @kernel sync_info_debugfs_show */
export function syncInfo(machine: Machine): string {
  prepareSwSync(machine);
  const blocks = getTimelines(machine).map((timeline) => {
    const text = describeTimeline(machine, machine.slab(T).at(timeline));
    putTimeline(machine, timeline);
    return text;
  });
  return `objs:\n${RULE}${blocks.join('')}fences:\n${RULE}`;
}

/** @kernel sync_print_obj */
function describeTimeline(machine: Machine, t: number): string {
  const { mem } = machine;
  const polled: number[] = [];
  const text = withTimeline(machine, t, () => {
    const value = T.value.get(mem, t);
    let lines = `${machine.string(T.name.get(mem, t))}: ${value}\n`;
    for (const point of pointsOf(machine, t)) {
      const fence = P.fence.get(mem, machine.slab(P).at(point));
      if (!fenceTryGet(machine, fence)) continue;
      polled.push(fence);
      lines += describeFence(Fence.of(machine, fence), value);
    }
    return `${lines}\n`;
  });
  for (const fence of polled) fencePut(machine, fence);
  return text;
}

/** @kernel sync_print_fence */
function describeFence(fence: Fence, value: number): string {
  const status = fence.status();
  const word = status === 0 ? 'active' : status > 0 ? 'signaled' : 'error';
  const ns = status === 0 ? 0 : fence.timestampNs();
  const seconds = Math.floor(ns / 1e9);
  const when = status === 0 ? '' : `@${seconds}.${String(Math.floor(ns - seconds * 1e9)).padStart(9, '0')}`;
  return `  fence ${word}${when}: ${fence.seqno} / ${value}\n`;
}
