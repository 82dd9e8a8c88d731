import { KernelError, type Machine, orUndo, UsageError } from '@dmabuf-emu/shm';
import { File } from '../../fd/file.ts';
import { OpenFlags } from '../../fd/open-flags.ts';
import { Resv } from '../../resv/index.ts';
import { type Exporter, registerDriver } from '../drivers.ts';
import type { ModuleOwner } from '../module-owner.ts';
import type { DmaBufState } from './state.ts';
import { DmaBufStruct as B } from './structs.ts';

/** Name of the kind of file that a buffer has. */
export const DMA_BUF_FILE = 'dmabuf';

/** What an exporter says of a new buffer. @kernel dma_buf_export_info */
export interface ExportInfo {
  readonly ops: Exporter;
  /** The exporter's word; must not be 0. */
  readonly priv: number;
  /** Bytes. */
  readonly size: number;
  /** Shown in fdinfo and bufinfo; the exporter's name when left out. */
  readonly expName?: string;
  /** Open flags: access mode and O_NONBLOCK count. Read-only when left out. */
  readonly flags?: number;
  /** Reservation object to share; the buffer gets one of its own when left out. */
  readonly resv?: Resv;
  /** Module of the exporter; none is built in and cannot go away. */
  readonly owner?: ModuleOwner;
}

/** Makes a buffer and returns its ref. The checks come in the kernel's order. @kernel dma_buf_export */
export function exportBuffer(state: DmaBufState, info: ExportInfo): number {
  const { machine } = state;
  checkInfo(machine, info);
  const { ops, owner, size, flags = OpenFlags.RDONLY } = info;
  if (owner !== undefined && !owner.tryGet()) {
    throw new KernelError('ENOENT', 'dma_buf_export', `module '${owner.name}' of exporter ${ops.name} is going away`);
  }
  const ref = orUndo(
    () => {
      const ino = state.nextIno();
      const file = File.create(
        machine,
        { type: DMA_BUF_FILE, priv: 0, flags: flags & (OpenFlags.ACCMODE | OpenFlags.NONBLOCK) },
        'dma_buf_export.file',
      );
      return orUndo(
        () => makeBuffer(state, info, file, ino),
        () => file.put(),
      );
    },
    () => owner?.put(),
  );
  state.listAdd(ref);
  const p = state.buffers.at(ref);
  const ino = B.ino.get(state.mem, p);
  state.trace.emitBuffer('dma_buf_export', ino, B.expName.get(state.mem, p), size);
  return ref;
}

function makeBuffer(state: DmaBufState, info: ExportInfo, file: File, ino: number): number {
  const { machine, mem, buffers } = state;
  const { ops, priv, size, expName = ops.name, owner, resv } = info;
  const ref = buffers.alloc('dma_buf_export');
  return orUndo(
    () => {
      const p = buffers.at(ref);
      const own = resv ?? Resv.create(machine, 'dma_buf_export.resv');
      B.size.set(mem, p, size);
      B.ino.set(mem, p, ino);
      B.file.set(mem, p, file.ref);
      B.exporter.set(mem, p, registerDriver(machine, ops));
      B.owner.set(mem, p, owner?.ref ?? 0);
      B.priv.set(mem, p, priv);
      B.expName.set(mem, p, machine.intern(expName));
      B.resv.set(mem, p, own.ref);
      B.ownResv.set(mem, p, resv === undefined ? 1 : 0);
      file.priv = ref;
      return ref;
    },
    () => buffers.free(ref, 'dma_buf_export'),
  );
}

function checkInfo(machine: Machine, { ops, priv, size }: ExportInfo): void {
  const missing = (['map', 'unmap', 'release'] as const).filter((op) => typeof ops?.[op] !== 'function');
  if (!priv || missing.length > 0) {
    const text = missing.length > 0 ? `exporter ${ops?.name} lacks ${missing.join(', ')}` : 'priv must not be 0';
    refuse(machine, text);
  }
  if ((ops.pin === undefined) !== (ops.unpin === undefined)) {
    refuse(machine, `exporter ${ops.name} has ${ops.pin === undefined ? 'unpin but not pin' : 'pin but not unpin'}`);
  }
  if (!Number.isSafeInteger(size) || size < 0) {
    throw new UsageError(`the size of a buffer is a whole number of bytes up to 2^53 - 1, got ${size}`);
  }
}

function refuse(machine: Machine, text: string): never {
  machine.diag.warn('dma_buf_export', text);
  throw new KernelError('EINVAL', 'dma_buf_export', text);
}
