import { isKernelError, KernelError, type Machine, orUndo } from '@dmabuf-emu/shm';
import { FdTable } from '../fd/fd-table.ts';
import { File } from '../fd/file.ts';
import { OpenFlags } from '../fd/open-flags.ts';
import { Fence } from '../fence/fence.ts';
import { mergeFences } from '../fence/unwrap.ts';
import { installNew } from './internal/install.ts';
import { headOf, pollOf, SYNC_FILE } from './internal/file-ops.ts';
import { describeFences, type SyncFileInfo } from './internal/info.ts';
import { nameBytes } from './internal/name.ts';
import { prepareSyncFiles } from './internal/prepare.ts';
import { SyncFileStruct as S } from './internal/structs.ts';

/** What SYNC_IOC_MERGE is given beside the descriptors. */
export interface SyncMergeRequest {
  /** Descriptor of the other sync_file. */
  readonly fd2: number;
  /** Text or bytes, cut to 31 bytes; empty for a derived one. */
  readonly name?: string | Uint8Array;
  readonly flags?: number;
  readonly pad?: number;
}

/**
 * A fence as a file: what programs pass around, wait for and merge. A handle over the file; the reference to that is the
 * caller's affair, the file holds one to the fence. @kernel sync_file
 */
export class SyncFile {
  readonly machine: Machine;
  readonly file: File;
  readonly #p: number;

  private constructor(file: File) {
    this.machine = file.machine;
    this.file = file;
    this.#p = file.machine.slab(S).at(file.priv);
  }

  /**
   * A file for `fence` with one reference, which the caller owns; takes a reference to the fence of its own.
   * @kernel sync_file_create @throws KernelError ENOMEM, also when no more files can be opened
   */
  static create(fence: Fence, name: string | Uint8Array = ''): SyncFile {
    const { machine } = fence;
    prepareSyncFiles(machine);
    const slab = machine.slab(S);
    try {
      const ref = slab.alloc('sync_file_alloc');
      const p = slab.at(ref);
      return orUndo(
        () => {
          pollOf(machine, p).init(headOf(machine, p));
          const file = File.create(machine, { type: SYNC_FILE, priv: ref, flags: OpenFlags.RDONLY }, 'sync_file.file');
          S.fence.set(machine.mem, p, fence.get().ref);
          const bytes = nameBytes(name);
          machine.mem.write((p + S.name.at) * 4, bytes);
          S.nameSize.set(machine.mem, p, bytes.length);
          return new SyncFile(file);
        },
        () => {
          pollOf(machine, p).destroy();
          slab.free(ref, 'sync_file_alloc');
        },
      );
    } catch (error) {
      if (!isKernelError(error, 'ENFILE')) throw error;
      throw new KernelError('ENOMEM', 'sync_file_alloc', 'no more files can be opened');
    }
  }

  /** @throws KernelError EINVAL when `file` is of another kind */
  static of(file: File): SyncFile {
    prepareSyncFiles(file.machine);
    if (file.type === SYNC_FILE) return new SyncFile(file);
    throw new KernelError('EINVAL', 'sync_file', `a ${file.type} file is no sync_file`);
  }

  /**
   * The sync_file behind a descriptor of the calling task's process, with a reference to the file; undefined when there is none.
   * @kernel sync_file_fdget
   */
  static tryGet(machine: Machine, fd: number): SyncFile | undefined {
    prepareSyncFiles(machine);
    try {
      const file = FdTable.current(machine).get(fd);
      if (file.type === SYNC_FILE) return new SyncFile(file);
      file.put();
    } catch (error) {
      if (!isKernelError(error, 'EBADF')) throw error;
    }
    return undefined;
  }

  /** The fence of the sync_file behind a descriptor, with a reference; undefined when there is none. @kernel sync_file_get_fence */
  static fenceOf(machine: Machine, fd: number): Fence | undefined {
    const syncFile = SyncFile.tryGet(machine, fd);
    const fence = syncFile?.fence.get();
    syncFile?.file.put();
    return fence;
  }

  /** The fence, without a reference. */
  get fence(): Fence {
    return Fence.of(this.machine, S.fence.get(this.machine.mem, this.#p));
  }

  /** The name that a user gave it, else one of its fence: `driver-timelinecontext-seqno`. Cut to 31 bytes. @kernel sync_file_get_name */
  get name(): string {
    return new TextDecoder().decode(this.nameBytes);
  }

  /** The bytes of {@link name}. */
  get nameBytes(): Uint8Array {
    const { mem } = this.machine;
    const size = S.nameSize.get(mem, this.#p);
    if (size > 0) return mem.read((this.#p + S.name.at) * 4, size);
    const { fence } = this;
    return nameBytes(`${fence.driverName()}-${fence.timelineName()}${fence.context}-${fence.seqno}`);
  }

  /** A file for the fences of both, which go on by themselves. @kernel sync_file_merge @throws KernelError ENOMEM */
  merge(other: SyncFile, name: string | Uint8Array = ''): SyncFile {
    const fence = mergeFences(this.machine, [this.fence, other.fence]);
    const merged = orUndo(
      () => SyncFile.create(fence, name),
      () => fence.put(),
    );
    fence.put();
    return merged;
  }

  /**
   * {@link merge} with what is behind another descriptor, into a new one, in the kernel's order of checks.
   * @param request or what reads it, which may throw EFAULT.
   * @param copyOut is told the descriptor before anything is behind it; it may throw EFAULT.
   * @throws KernelError EMFILE, EINVAL (flags, pad), ENOENT (no sync_file), ENOMEM, with nothing left behind
   * @kernel SYNC_IOC_MERGE
   */
  mergeFd(request: SyncMergeRequest | (() => SyncMergeRequest), copyOut?: (fd: number) => void): number {
    const make = (): SyncFile => {
      const { fd2, name = '', flags = 0, pad = 0 } = typeof request === 'function' ? request() : request;
      checkZero('SYNC_IOC_MERGE', { flags, pad });
      const other = SyncFile.tryGet(this.machine, fd2);
      if (other === undefined) throw new KernelError('ENOENT', 'SYNC_IOC_MERGE', `descriptor ${fd2} is no sync_file`);
      const merged = orUndo(
        () => this.merge(other, name),
        () => other.file.put(),
      );
      other.file.put();
      return merged;
    };
    return installNew(this.machine, make, copyOut);
  }

  /**
   * What is known of the fences. `room` for that many is offered: 0 asks for number and status of the whole only. With room, the
   * status is that of the first fence that has not ended well.
   * @throws KernelError EINVAL (flags, pad, too little room), ENOMEM
   * @kernel SYNC_IOC_FILE_INFO
   */
  info({
    room = Number.POSITIVE_INFINITY,
    flags = 0,
    pad = 0,
  }: { room?: number; flags?: number; pad?: number } = {}): SyncFileInfo {
    checkZero('SYNC_IOC_FILE_INFO', { flags, pad });
    const described = describeFences(this.machine, this.fence, room);
    return { name: this.name, ...described };
  }

  /** Tells the issuers when the fence is needed, in nanoseconds of the machine's clock. @kernel SYNC_IOC_SET_DEADLINE @throws KernelError EINVAL (pad) */
  setDeadline(deadlineNs: number, pad = 0): void {
    checkZero('SYNC_IOC_SET_DEADLINE', { pad });
    this.fence.setDeadline(deadlineNs);
  }

  /** A descriptor in the calling task's process; takes over the caller's reference. @throws KernelError EMFILE, ENOMEM */
  fd(): number {
    return FdTable.current(this.machine).install(this.file, { cloexec: true });
  }
}

function checkZero(call: string, fields: Readonly<Record<string, number | bigint>>): void {
  for (const [name, value] of Object.entries(fields)) {
    if (Number(value) !== 0) throw new KernelError('EINVAL', call, `${name} must be 0, got ${value}`);
  }
}
