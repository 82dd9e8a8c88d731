import {
  type Attachment,
  DmaBuf,
  type DmaDirection,
  FdTable,
  File,
  poll,
  PollEvents,
  RevocableExport,
  SgTable,
} from '@dmabuf-emu/core';
import { Device } from '@dmabuf-emu/core';
import { RevocableStruct as S, revocableOf } from '#dist/dma-buf/revocable-exporter.test-worker.js';
import type { Machine } from '@dmabuf-emu/shm';
import { ModelBuffer } from './buffers.fixture.ts';
import { type ExporterKind, exporters, type ImporterKind, importers, run } from './drivers.fixture.ts';
import { fail, type ModelFile } from './files.fixture.ts';
import type { AttachmentPair, BufferPair, World } from './world.fixture.ts';

const EXPORTERS: readonly ExporterKind[] = ['static', 'dynamic', 'revocable'];
const IMPORTERS: readonly ImporterKind[] = ['static', 'plain', 'stubborn', 'obedient'];
const FAILURES = [
  { call: 'attach', code: 'EPERM' },
  { call: 'map', code: 'ENOSPC' },
  { call: 'map', code: null },
  { call: 'pin', code: 'EBUSY' },
] as const;
const MOST_BUFFERS = 3;
const MOST_ATTACHMENTS = 6;

export type Numbers = readonly [a: number, b: number, c: number];
export type Command = (w: World, n: Numbers) => void;

export function pick<T>(all: readonly T[], n: number): T | undefined {
  return all[n % all.length];
}

/** A descriptor of the task that runs: mostly an open one, of that type if there is one. */
export function someFd(w: World, n: number, type?: ModelFile['type']): number {
  const { fds } = w.process;
  const all = [...fds.keys()].filter((fd) => fds[fd] !== undefined);
  const fit = all.filter((fd) => fds[fd]!.type === type);
  return (n < 56 ? pick(fit.length > 0 && n < 48 ? fit : all, n) : undefined) ?? n % 8;
}

/** A buffer that somebody has a reference to. */
export function someBuffer(w: World, n: number): BufferPair | undefined {
  return pick(
    w.buffers.filter(({ model }) => model.file.refs > 0),
    n,
  );
}

/** Whether the task that runs may wait for the lock: nobody has it, and the task has no other. */
function canLock(w: World, { model }: BufferPair): boolean {
  return model.lockedBy === undefined && w.model.task.locks === 0;
}

/** The same, when its lock can be taken. */
export function freeBuffer(w: World, n: number): BufferPair | undefined {
  return pick(
    w.buffers.filter((pair) => pair.model.file.refs > 0 && canLock(w, pair)),
    n,
  );
}

/**
 * Does the same on both sides: with the lock taken for it, when `n` is odd and it can be taken, else as it is. Tells whether
 * that went well.
 */
export function perhapsLocked(
  w: World,
  pair: BufferPair,
  n: number,
  real: () => unknown,
  model: () => unknown,
): boolean {
  if (n % 2 === 0 || !canLock(w, pair)) return w.equal(real, model);
  return w.equal(
    () => w.dmabuf(pair).resv.with(real),
    () => pair.model.locked(model),
  );
}

function someAttachment(w: World, n: number): AttachmentPair | undefined {
  return pick(
    w.attachments.filter(({ buffer }) => buffer.model.file.refs > 0),
    n,
  );
}

/** Waits of `fn` end at once. */
function interrupted<T>(machine: Machine, fn: () => T): T {
  machine.interrupt(machine.tid);
  try {
    return fn();
  } finally {
    machine.clearSignal();
  }
}

function exportReal(machine: Machine, kind: ExporterKind, priv: number): DmaBuf {
  const ops = exporters[kind];
  if (kind !== 'revocable' || priv === 0) return DmaBuf.export(machine, { ops, priv, size: 8192 });
  const slab = machine.slab(S);
  const ref = slab.alloc('model');
  RevocableExport.init(machine, slab.at(ref), S);
  try {
    return DmaBuf.export(machine, { ops, priv: ref, size: 8192 });
  } catch (error) {
    slab.free(ref);
    throw error;
  }
}

const lifetime: Record<string, Command> = {
  export(w, [a, b]) {
    if (w.buffers.filter(({ model }) => !model.released).length >= MOST_BUFFERS) return;
    const kind = pick(EXPORTERS, a)!;
    const priv = b % 16 === 0 ? 0 : 1;
    const id = ++w.ids;
    const made = w.both(
      () => exportReal(w.machine, kind, priv),
      () => {
        if (priv === 0) {
          w.model.diag.push('warn dma_buf_export');
          fail('EINVAL');
        }
        return new ModelBuffer(w.model, kind, id, w.calls, w.failNext);
      },
    );
    if (made === undefined) return;
    const pair = { ref: made.real.ref, model: made.model, own: 1 };
    run.ids.set(pair.ref, id);
    w.buffers.push(pair);
    w.addFile(made.model.file, { ref: made.real.file.ref, buffer: pair });
  },

  fd(w, [a]) {
    const pair = pick(
      w.buffers.filter(({ own }) => own > 0),
      a,
    );
    if (pair === undefined) return;
    const done = w.equal(
      () => w.dmabuf(pair).fd(),
      () => w.process.install(pair.model.file),
    );
    if (done) pair.own--;
  },

  getFd(w, [a]) {
    const fd = someFd(w, a, 'dmabuf');
    const got = w.both(
      () => DmaBuf.get(w.machine, fd),
      () => {
        const file = w.process.at(fd);
        if (file.type !== 'dmabuf') fail('EINVAL');
        file.refs++;
        return w.pairOf(file).buffer!;
      },
      (dmabuf) => w.buffers.find(({ ref, model }) => ref === dmabuf.ref && !model.released),
    );
    if (got !== undefined) got.model.own++;
  },

  get(w, [a]) {
    const pair = someBuffer(w, a);
    if (pair === undefined) return;
    w.dmabuf(pair).get();
    pair.model.file.refs++;
    pair.own++;
  },

  put(w, [a]) {
    const pair = pick(
      w.buffers.filter(({ own }) => own > 0),
      a,
    );
    if (pair === undefined) return;
    pair.own--;
    w.dmabuf(pair).put();
    w.model.put(pair.model.file);
  },

  dup(w, [a, b]) {
    const [fd, least] = [someFd(w, a), b % 7];
    w.equal(
      () => w.table.dup(fd, least),
      () => {
        const file = w.process.at(fd);
        const copy = w.process.install(file, least);
        file.refs++;
        return copy;
      },
    );
  },

  close(w, [a]) {
    const fd = someFd(w, a);
    w.equal(
      () => w.table.close(fd),
      () => {
        const file = w.process.at(fd);
        w.process.fds[fd] = undefined;
        w.model.put(file);
      },
    );
  },

  /** SCM_RIGHTS */
  send(w, [a, b]) {
    const fd = someFd(w, a);
    const to = b % 3;
    w.equal(
      () => {
        const file = w.table.get(fd);
        try {
          return FdTable.current(w.machines[to]!).install(File.of(w.machines[to]!, file.ref));
        } catch (error) {
          file.put();
          throw error;
        }
      },
      () => {
        const file = w.process.at(fd);
        const copy = w.model.tasks[to]!.process.install(file);
        file.refs++;
        return copy;
      },
    );
  },

  limit(w, [a, b]) {
    const max = b % 3 === 0 ? 4 + (a % 5) : 0;
    File.setLimit(w.machine, max);
    w.model.maxFiles = max;
  },

  failNext(w, [a]) {
    const next = pick(FAILURES, a);
    run.failNext.next = next;
    w.failNext.next = next;
  },
};

const attaching: Record<string, Command> = {
  attach(w, [a, b, c]) {
    const pair = freeBuffer(w, a);
    if (pair === undefined || w.attachments.filter(({ model }) => model.alive).length >= MOST_ATTACHMENTS) return;
    const kind = pick(IMPORTERS, b)!;
    const id = ++w.ids;
    const made = w.both(
      () => attachReal(w, w.dmabuf(pair), kind, id, c),
      () => {
        if (c % 16 === 0) {
          w.model.diag.push('warn dma_buf_dynamic_attach');
          fail('EINVAL');
        }
        return pair.model.attach(kind, id);
      },
    );
    if (made === undefined) return;
    w.dmabuf(pair).get();
    pair.model.file.refs++;
    w.attachments.push({ ref: made.real.ref, buffer: pair, model: made.model, tables: [], stale: 0 });
  },

  detach(w, [a, b]) {
    const attachment = someAttachment(w, a);
    if (attachment === undefined) return;
    const { model, buffer } = attachment;
    const from = b % 8 === 0 ? (someBuffer(w, b) ?? buffer) : buffer;
    if (from === buffer && !canLock(w, buffer)) return;
    if (from === buffer && (model.tables > 0 || model.pins > 0)) return;
    const done = w.both(
      () => w.dmabuf(from).detach(w.attachment(attachment)),
      () => from.model.detach(model),
    );
    if (done?.model !== true) return;
    w.dmabuf(buffer).put();
    w.model.put(buffer.model.file);
  },

  pin(w, [a, b]) {
    const attachment = someAttachment(w, a);
    if (attachment === undefined) return;
    perhapsLocked(
      w,
      attachment.buffer,
      b,
      () => w.attachment(attachment).pin(),
      () => attachment.model.pin(),
    );
  },

  unpin(w, [a, b]) {
    const attachment = someAttachment(w, a);
    if (attachment === undefined) return;
    perhapsLocked(
      w,
      attachment.buffer,
      b,
      () => w.attachment(attachment).unpin(),
      () => attachment.model.unpin(),
    );
  },

  map(w, [a]) {
    const attachment = someAttachment(w, a);
    if (attachment !== undefined) mapBoth(w, attachment);
  },

  mapUnlocked(w, [a]) {
    const attachment = someAttachment(w, a);
    if (attachment === undefined || !canLock(w, attachment.buffer)) return;
    const { model } = attachment.buffer;
    const made = w.both(
      () => interrupted(w.machine, () => w.attachment(attachment).mapUnlocked(0)),
      () => model.locked(() => attachment.model.map()),
    );
    if (made !== undefined) attachment.tables.unshift(made.real.ref);
  },

  unmap(w, [a, b, c]) {
    const attachment = someAttachment(w, a);
    if (attachment === undefined) return;
    const { model } = attachment.buffer;
    const table = b % 8 === 0 ? attachment.stale : pick(attachment.tables, b);
    const live = table !== undefined && attachment.tables.includes(table);
    const unlocked = c % 4 !== 0 && canLock(w, attachment.buffer);
    if (table === undefined || table === 0) return;
    const handle = SgTable.of(w.machine, table);
    const done = w.equal(
      () => unmapReal(w.attachment(attachment), handle, 0, unlocked),
      () => (unlocked ? model.locked(() => attachment.model.unmap(live)) : attachment.model.unmap(live)),
    );
    if (!done || !live) return;
    attachment.tables = attachment.tables.filter((ref) => ref !== table);
    attachment.stale = table;
  },
};

function attachReal(w: World, dmabuf: DmaBuf, kind: ImporterKind, id: number, c: number): Attachment {
  const device = c % 16 === 0 ? (undefined as never) : deviceOf(w);
  return kind === 'static' ? dmabuf.attach(device) : dmabuf.attachDynamic(device, importers[kind], id);
}

function deviceOf(w: World): Device {
  return Device.register(w.machine, { name: `device${w.ids}`, kind: 'platform' });
}

function mapBoth(w: World, attachment: AttachmentPair): void {
  const made = w.both(
    () => interrupted(w.machine, () => w.attachment(attachment).map(0)),
    () => attachment.model.map(),
  );
  if (made !== undefined) attachment.tables.unshift(made.real.ref);
}

function unmapReal(attachment: Attachment, table: SgTable, direction: DmaDirection, unlocked: boolean): void {
  if (unlocked) attachment.unmapUnlocked(table, direction);
  else attachment.unmap(table, direction);
}

/** Importers that obey have unmapped. */
function forgetObedient(w: World, pair: BufferPair): void {
  for (const attachment of w.attachments) {
    if (attachment.buffer !== pair || attachment.model.importer !== 'obedient' || !attachment.model.alive) continue;
    attachment.stale = attachment.tables.at(-1) ?? attachment.stale;
    attachment.tables = [];
  }
}

const access: Record<string, Command> = {
  invalidate(w, [a, b]) {
    const pair = someBuffer(w, a);
    if (pair === undefined) return;
    const done = perhapsLocked(
      w,
      pair,
      b,
      () => w.dmabuf(pair).invalidateMappings(),
      () => pair.model.invalidate(),
    );
    if (done) forgetObedient(w, pair);
  },

  revoke(w, [a]) {
    const pair = freeBuffer(w, a);
    if (pair === undefined || pair.model.kind !== 'revocable' || pair.model.isBusy) return;
    const dmabuf = w.dmabuf(pair);
    w.equal(
      () => revocableOf(dmabuf).revoke(dmabuf),
      () => pair.model.revoke(),
    );
    forgetObedient(w, pair);
  },

  unrevoke(w, [a]) {
    const pair = freeBuffer(w, a);
    if (pair === undefined || pair.model.kind !== 'revocable' || pair.model.isBusy) return;
    const dmabuf = w.dmabuf(pair);
    w.equal(
      () => revocableOf(dmabuf).unrevoke(dmabuf),
      () => pair.model.unrevoke(),
    );
  },

  sync(w, [a, b]) {
    const pair = someBuffer(w, a);
    const flags = b % 10;
    if (pair === undefined) return;
    w.equal(
      () => interrupted(w.machine, () => w.dmabuf(pair).sync(flags)),
      () => {
        if (flags > 7 || (flags & 3) === 0) fail('EINVAL');
        if ((flags & 4) !== 0) pair.model.endAccess();
        else pair.model.beginAccess((flags & 2) !== 0);
      },
    );
  },

  poll(w, [a, b]) {
    const fd = someFd(w, a);
    const events = pick([PollEvents.IN, PollEvents.OUT, PollEvents.IN | PollEvents.OUT], b)!;
    const file = w.process.fds[fd];
    const pair = file === undefined ? undefined : w.pairOf(file);
    if (pair?.timeline !== undefined || (pair?.buffer !== undefined && !canLock(w, pair.buffer))) return;
    w.equal(
      () => poll(w.machine, [{ fd, events }], { timeoutMs: 0 })[0],
      () => {
        if (pair === undefined) return PollEvents.NVAL;
        if (pair.buffer !== undefined) {
          const out = (events & PollEvents.OUT) !== 0 && pair.buffer.model.poll('out') ? PollEvents.OUT : 0;
          return out | ((events & PollEvents.IN) !== 0 && pair.buffer.model.poll('in') ? PollEvents.IN : 0);
        }
        const sync = pair.sync!;
        if (!sync.polled) sync.fence.onEnd(() => {});
        sync.polled = true;
        return sync.fence.isSignaled() ? PollEvents.IN & events : 0;
      },
    );
  },
};

export const bufferCommands: Record<string, Command> = { ...lifetime, ...attaching, ...access };
