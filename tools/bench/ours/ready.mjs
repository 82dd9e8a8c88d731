// poll with timeout 0 over sync_files and buffers, whose fences have all ended (ready) or are all pending (unready).
// merge: a sync_file of the fences of two others, which have half as many timelines in common as they have fences, or none.
import { nsUndisturbed } from '../lib/stats.mjs';
import { addToResv, newBuffer, newFence, openCore } from './core.mjs';

const ARENA_BYTES = 64 << 20;

function pollRequests(core, count, kind, signaled) {
  const { machine, PollEvents } = core;
  return Array.from({ length: count }, () => {
    const fence = newFence(core);
    const buffer = kind === 'buffer' ? newBuffer(core) : undefined;
    if (buffer !== undefined) addToResv(core, buffer.resv, fence);
    const file = buffer?.file ?? core.SyncFile.create(fence).file;
    if (signaled) core.fenceSignal(machine, fence.ref, 1);
    return { file, events: PollEvents.IN };
  });
}

export async function poll({ count, kind }) {
  const core = await openCore(ARENA_BYTES);
  const { machine } = core;
  const turn = (signaled) => {
    const requests = pollRequests(core, count, kind, signaled);
    const found = core.poll(machine, requests, { timeoutMs: 0 });
    if (found.some((events) => (events !== 0) !== signaled)) throw new Error(`poll says ${found}`);
    return () => core.poll(machine, requests, { timeoutMs: 0 });
  };
  return nsUndisturbed({ ready_ns: turn(true), unready_ns: turn(false) });
}

function syncFileOf(core, fences) {
  return core.SyncFile.create(core.mergeFences(core.machine, fences));
}

export async function merge({ fences }) {
  const core = await openCore(ARENA_BYTES);
  const make = (count) => Array.from({ length: count }, () => newFence(core));
  const [shared, ...own] = [make(fences / 2), make(fences / 2), make(fences / 2), make(fences)];
  const one = syncFileOf(core, [...shared, ...own[0]]);
  const turn = (other, expected) => {
    const merged = one.merge(other);
    const { numFences } = merged.info();
    if (numFences !== expected) throw new Error(`${numFences} fences instead of ${expected}`);
    merged.file.put();
    return () => one.merge(other).file.put();
  };
  return nsUndisturbed({
    shared_ns: turn(syncFileOf(core, [...shared, ...own[1]]), fences * 1.5),
    disjoint_ns: turn(syncFileOf(core, own[2]), fences * 2),
  });
}
