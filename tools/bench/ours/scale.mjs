// What an operation costs beside many live objects that it has nothing to do with, and what those take of the arena.
import { nsUndisturbed } from '../lib/stats.mjs';
import { addToResv, newBuffer, newFence, openCore } from './core.mjs';

const ARENA_BYTES = 64 << 20;
const BYTES_A_FENCE = 64;
const BYTES_A_BUFFER = 2048;
const ATTACHMENTS = 2;
const SPARE_DESCRIPTORS = 64;
const EARLY_FD = 3;

const usedBytes = (core) => core.machine.arena.usage().usedBytes;

/** Bytes that each of `count` objects takes; tables grow by blocks, so only many tell. */
function bytesEach(core, count, make) {
  const before = usedBytes(core);
  for (let i = 0; i < count; i++) make(i);
  return (usedBytes(core) - before) / count;
}

export async function besideFences({ count }) {
  const core = await openCore(ARENA_BYTES + count * BYTES_A_FENCE);
  const { machine, ops } = core;
  const init = { ops, context: core.fenceContextAlloc(machine), seqno: 0 };
  const fence_bytes = bytesEach(core, count, (i) => {
    init.seqno = i + 1;
    core.fenceCreate(machine, init);
  });
  return { fence_bytes, ...costs(core) };
}

export async function besideBuffers({ count }) {
  const core = await openCore(ARENA_BYTES + count * BYTES_A_BUFFER);
  const buffers = [];
  const buffer_bytes = bytesEach(core, count, () => buffers.push(newBuffer(core)));
  const attachment_bytes =
    bytesEach(core, count, (i) => {
      for (let n = 0; n < ATTACHMENTS; n++) buffers[i].attach(core.device);
    }) / ATTACHMENTS;
  return { buffer_bytes, attachment_bytes, ...costs(core) };
}

/** Every other descriptor of the process is a buffer's; what is measured opens and closes one more. */
export async function besideDescriptors({ count }) {
  const core = await openCore(ARENA_BYTES + count * BYTES_A_BUFFER);
  const { machine, FdTable } = core;
  const table = FdTable.current(machine);
  table.limit = count + SPARE_DESCRIPTORS;
  const file = newBuffer(core).file;
  const descriptor_bytes = bytesEach(core, count, () => table.install(file.get()));
  const fd = table.install(file.get());
  const openAndClose = () => table.close(table.install(file.get()));
  const times = nsUndisturbed({
    open_close_ns: openAndClose,
    get_put_ns: () => table.get(fd).put(),
    reopen_ns: () => {
      table.close(EARLY_FD);
      table.install(file.get());
      openAndClose();
    },
  });
  return { descriptor_bytes, ...times };
}

/** The price of each operation, in ns. */
function costs(core) {
  const { machine, device, ops } = core;
  const context = core.fenceContextAlloc(machine);
  const fence = newFence(core);
  const resv = core.Resv.create(machine);
  const buffer = newBuffer(core);
  addToResv(core, buffer.resv, fence);
  const [one, other] = [fence, newFence(core)].map((f) => core.SyncFile.create(f));
  const requests = [
    { file: one.file, events: core.PollEvents.IN },
    { file: buffer.file, events: core.PollEvents.IN },
  ];
  const init = { ops, context, seqno: 1 };
  return nsUndisturbed({
    fence_ns: () => {
      const ref = core.fenceCreate(machine, init);
      core.fenceSignal(machine, ref, 1);
      core.fencePut(machine, ref);
    },
    resv_ns: () => {
      addToResv(core, resv, fence);
      const cursor = resv.unlocked(core.ResvUsage.READ);
      for (let ref = cursor.first(); ref !== 0; ref = cursor.next());
    },
    attach_ns: () => buffer.detach(buffer.attach(device)),
    export_ns: () => newBuffer(core).put(),
    poll_ns: () => core.poll(machine, requests, { timeoutMs: 0 }),
    merge_ns: () => one.merge(other).file.put(),
  });
}
