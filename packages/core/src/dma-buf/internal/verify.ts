import { type Slab, taskIsDead, type VerifyBuilder } from '@dmabuf-emu/shm';
import { FileStruct as F } from '../../fd/file-struct.ts';
import { SgTableStruct as T } from '../../sg/sg-table-struct.ts';
import type { Links } from './list.ts';
import type { OpenBuffer } from './reap.ts';
import type { DmaBufState } from './state.ts';
import { ATT_LISTED, AttachmentStruct as A, DmaBufStruct as B } from './structs.ts';

/** Slots found on the lists of the buffers, each exactly once. */
interface Seen {
  readonly attachments: Set<number>;
  readonly tables: Set<number>;
}

/**
 * Proves on a quiet machine that buffers, attachments and tables refer to each other as they should. Whatever is still
 * attached or mapped counts as leaked, or as damage when its task died.
 */
export function verifyBuffers(state: DmaBufState, report: VerifyBuilder, open: OpenBuffer): void {
  const seen: Seen = { attachments: new Set(), tables: new Set() };
  for (const kind of ['dma_buf', 'dma_buf_attachment', 'sg_table']) report.count(kind, 0);
  verifyGlobalList(state, report);
  for (const ref of state.buffers.live()) verifyBuffer(state, report, open(ref).label, ref, seen);
  for (const ref of state.attachments.live()) verifyAttachment(state, report, ref, seen);
  for (const ref of state.tables.live()) verifyTable(state, report, ref, seen);
}

function verifyGlobalList(state: DmaBufState, report: VerifyBuilder): void {
  const { mem, buffers, listMutex } = state;
  const fail = listMutex.isLocked
    ? (text: string) => report.damage('dma_buf', text)
    : (text: string) => report.error(text);
  const listed = walk(state, buffers, B, state.listHead, 'the list of buffers', fail);
  for (const ref of buffers.live()) {
    const p = buffers.at(ref);
    if ((B.listed.get(mem, p) !== 0) !== listed.has(ref))
      fail(`buffer #${B.ino.get(mem, p)} and the list of buffers disagree`);
  }
}

function verifyBuffer(state: DmaBufState, report: VerifyBuilder, label: string, ref: number, seen: Seen): void {
  const { mem, buffers, machine, attachments, tables } = state;
  const p = buffers.at(ref);
  report.count('dma_buf', 1);
  const damagedBy = B.damagedBy.load(mem, p);
  if (damagedBy !== 0) report.damage('dma_buf', `buffer ${label} is beyond use since task ${damagedBy} died`);
  const fail = (text: string): void => {
    if (damagedBy !== 0) report.damage('dma_buf', text);
    else report.error(text);
  };
  const fileAt = machine.slab(F).tryAt(B.file.get(mem, p));
  if (fileAt === 0 || F.priv.get(mem, fileAt) !== ref) {
    const text = `buffer ${label} and its file disagree`;
    if (B.listed.get(mem, p) === 0 && machine.tasks().some((task) => task.state === 'dead')) {
      report.damage('dma_buf', `${text}: a task died while it made one`);
    } else report.error(text);
  }
  for (const attachment of walk(
    state,
    attachments,
    A,
    p + B.attachments.at,
    `the attachments of buffer ${label}`,
    fail,
  )) {
    seen.attachments.add(attachment);
    const at = attachments.at(attachment);
    if (A.dmabuf.get(mem, at) !== ref) fail(`buffer ${label} lists an attachment of another buffer`);
    for (const table of walk(
      state,
      tables,
      T,
      at + A.tables.at,
      `the tables of an attachment of buffer ${label}`,
      fail,
    )) {
      seen.tables.add(table);
      if (T.attachment.get(mem, tables.at(table)) !== attachment)
        fail(`buffer ${label}: a table is listed by another attachment`);
    }
  }
  for (const table of walk(state, tables, T, p + B.orphans.at, `the orphans of buffer ${label}`, fail))
    seen.tables.add(table);
}

function verifyAttachment(state: DmaBufState, report: VerifyBuilder, ref: number, seen: Seen): void {
  const { mem, attachments, machine } = state;
  const p = attachments.at(ref);
  report.count('dma_buf_attachment', 1);
  const owner = attachments.ownerOf(ref, A.ownerTask.get(mem, p));
  const dead =
    A.lostBy.get(mem, p) || (taskIsDead(machine, owner) ? owner : 0) || lostWith(state, A.dmabuf.get(mem, p));
  const listed = (A.flags.get(mem, p) & ATT_LISTED) !== 0;
  if (dead === 0 && listed !== seen.attachments.has(ref))
    report.error('an attachment and its buffer disagree about the list');
  const importer = machine.drivers.name('importer', A.importer.get(mem, p)) || 'static';
  blame(report, dead, 'dma_buf_attachment', `importer ${importer} did not detach what task ${owner} attached`);
}

function verifyTable(state: DmaBufState, report: VerifyBuilder, ref: number, seen: Seen): void {
  const { mem, tables, machine } = state;
  const p = tables.at(ref);
  report.count('sg_table', 1);
  const maps = T.maps.get(mem, p);
  const owner = tables.ownerOf(ref, T.ownerTask.get(mem, p));
  const dead =
    T.lostBy.get(mem, p) || (taskIsDead(machine, owner) ? owner : 0) || lostWith(state, T.dmabuf.get(mem, p));
  if (dead === 0 && maps > 0 !== seen.tables.has(ref))
    report.error(`a table with ${maps} mappings and the lists disagree`);
  blame(report, dead, 'sg_table', `a table of task ${owner} was not ${maps > 0 ? 'unmapped' : 'freed'}`);
}

/** The dead task that left a buffer beyond use, so that nobody could give back what hangs on it; 0 for none. */
function lostWith({ mem, buffers }: DmaBufState, buffer: number): number {
  const p = buffers.tryAt(buffer);
  return p === 0 ? 0 : B.damagedBy.load(mem, p);
}

/** The members of a list, as far as it is whole. */
function walk(
  state: DmaBufState,
  slab: Slab,
  links: Links,
  head: number,
  name: string,
  fail: (text: string) => void,
): Set<number> {
  const { mem } = state;
  const seen = new Set<number>();
  let before = 0;
  for (let ref = mem.i32[head]!; ref !== 0;) {
    const p = slab.tryAt(ref);
    if (p === 0 || seen.has(ref) || links.prev.get(mem, p) !== before) {
      fail(`${name} are broken after ${seen.size} members`);
      break;
    }
    seen.add(ref);
    before = ref;
    ref = links.next.get(mem, p);
  }
  return seen;
}

/** What a dead task left is damage; otherwise it is a leak. */
function blame(report: VerifyBuilder, dead: number, kind: string, text: string): void {
  if (dead !== 0) report.damage(kind, `${text} (task ${dead} died)`);
  else report.leak(kind, text);
}
