import { isKernelError } from '@dmabuf-emu/shm';
import { FileStruct as F } from '../../fd/file-struct.ts';
import { attemptForDead } from '../../internal/attempt.ts';
import { SgTable } from '../../sg/sg-table.ts';
import { SgTableStruct as T } from '../../sg/sg-table-struct.ts';
import { Attachment } from '../attachment.ts';
import type { DmaBuf } from '../dma-buf.ts';
import { damageBuffer } from './damage.ts';
import { listMembers } from './list.ts';
import { allPollCallbacks } from './poll.ts';
import type { DmaBufState } from './state.ts';
import { ATT_LISTED, AttachmentStruct as A, DmaBufStruct as B } from './structs.ts';

/** Makes the handle of a buffer. */
export type OpenBuffer = (ref: number) => DmaBuf;

/**
 * Ends what a dead task owned, on its behalf: mappings, then attachments. A buffer whose resv lock died with it cannot be
 * helped: it is marked, and what hangs on it is damage.
 */
export function reapBuffers(state: DmaBufState, dead: number, open: OpenBuffer): void {
  markDamaged(state, dead, open);
  for (const callback of allPollCallbacks(state)) callback.finishFor(dead);
  for (const table of owned(state, 'tables', dead)) reapTable(state, table, dead, open);
  for (const attachment of owned(state, 'attachments', dead)) reapAttachment(state, attachment, dead, open);
}

function markDamaged(state: DmaBufState, dead: number, open: OpenBuffer): void {
  const { mem, buffers, listMutex, listHead } = state;
  const mark = (ref: number): void => {
    if (open(ref).resv.ownerDead) damageBuffer(state, ref, dead);
  };
  try {
    listMutex.with(() => {
      for (const ref of listMembers(mem, buffers, B, listHead)) mark(ref);
    });
  } catch (error) {
    if (!isKernelError(error, 'EOWNERDEAD')) throw error;
    for (const ref of buffers.live()) {
      const p = buffers.tryAt(ref);
      if (p !== 0 && B.listed.get(mem, p) === 1) mark(ref);
    }
  }
}

/** Refs of that table's slots which belong to the dead task. A revoker may still be about to unmap some of the tables. */
function owned(state: DmaBufState, kind: 'tables' | 'attachments', dead: number): number[] {
  const slab = state[kind];
  const owner = (kind === 'tables' ? T : A).ownerTask;
  return [...slab.live()].filter((ref) => {
    const p = slab.tryAt(ref);
    return p !== 0 && owner.get(state.mem, p) === dead;
  });
}

function reapTable(state: DmaBufState, ref: number, dead: number, open: OpenBuffer): void {
  const { mem, machine, tables, attachments } = state;
  const t = tables.tryAt(ref);
  if (t === 0) return;
  T.lostBy.set(mem, t, dead);
  if (T.maps.get(mem, t) === 0) return;
  const attachmentRef = T.attachment.get(mem, t);
  const buffer = T.dmabuf.get(mem, t);
  if (state.buffers.tryAt(buffer) === 0) return;
  const dmabuf = open(buffer);
  if (dmabuf.damagedBy !== 0 || tables.tryAt(ref) === 0) return;
  if (attachments.tryAt(attachmentRef) === 0) return damageBuffer(state, buffer, dead);
  const undone = attemptForDead(state.machine, `unmap buffer ${dmabuf.label}`, () =>
    dmabuf.resv.with(() => {
      const table = new SgTable(machine, ref);
      while (table.mapped) new Attachment(dmabuf, attachmentRef).unmap(table, table.direction);
    }),
  );
  if (!undone) damageBuffer(state, buffer, dead);
}

function reapAttachment(state: DmaBufState, ref: number, dead: number, open: OpenBuffer): void {
  const { mem, attachments, buffers } = state;
  const p = attachments.at(ref);
  A.lostBy.set(mem, p, dead);
  const buffer = A.dmabuf.get(mem, p);
  if (buffers.tryAt(buffer) === 0 || (A.flags.get(mem, p) & ATT_LISTED) === 0) return;
  const dmabuf = open(buffer);
  F.lostBy.set(mem, state.machine.slab(F).at(dmabuf.file.ref), dead);
  if (dmabuf.damagedBy !== 0) return;
  const attachment = new Attachment(dmabuf, ref);
  const done = attemptForDead(state.machine, `detach from buffer ${dmabuf.label}`, () => {
    const heir = dmabuf.resv.with(() => {
      const [table] = attachment.tables();
      if (table === undefined) while (attachment.pins > 0) attachment.unpin();
      return table?.ownerTask ?? 0;
    });
    if (heir === 0) dmabuf.detach(attachment);
    else adopt(state, p, heir);
  });
  if (!done) damageBuffer(state, buffer, dead);
}

/** Another task still maps through the attachment: it becomes that task's. */
function adopt(state: DmaBufState, p: number, heir: number): void {
  A.ownerTask.set(state.mem, p, heir);
  A.lostBy.set(state.mem, p, 0);
}
