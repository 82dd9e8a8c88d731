import {
  atomicAdd,
  atomicLoad,
  atomicStore,
  atomicSub,
  KernelError,
  type Machine,
  refDec,
  refInc,
  refIncNotZero,
  syncPoint,
  UsageError,
} from '@dmabuf-emu/shm';
import { type FileOps, fileOps, fileTypeId, fileTypeName, knowsFileOps } from './file-ops.ts';
import { FileStruct as F, FINAL_PENDING, FINAL_RUNNING } from './file-struct.ts';
import { CORE_QUIRKS } from '../quirks.ts';
import { OpenFlags } from './open-flags.ts';
import { releaseWatchers } from './poll/internal/release-watchers.ts';

/** Words of the machine's file table: open files, most of them that may be open (0: no limit), releases left to others. */
const COUNT = 0;
const MAX = 1;
const DELAYED = 2;

/** What open files say of themselves beside the access mode: seekable, opened, no notification. @kernel FMODE_* */
const MODE_BITS = 0x2080004;
const FMODE_NONOTIFY = 0x2000000;

/** What {@link File.create} needs to know. */
export interface FileInfo {
  readonly type: string;
  readonly priv: number;
  readonly flags: number;
}

/**
 * An open file. The reference count of a dma-buf's file is the dma-buf's reference count.
 * A handle over the struct behind `ref`. @kernel file
 */
export class File {
  readonly machine: Machine;
  readonly ref: number;

  constructor(machine: Machine, fileRef: number) {
    this.machine = machine;
    this.ref = fileRef;
  }

  /**
   * A file with one reference, which the caller owns.
   * @param site static name of the caller, for fault injection.
   * @kernel alloc_file_pseudo
   * @throws KernelError ENFILE when the machine's limit is reached, ENOMEM.
   */
  static create(machine: Machine, { type, priv, flags }: FileInfo, site = 'alloc_file'): File {
    const { mem } = machine;
    const table = fileTable(machine);
    const max = atomicLoad(mem, table + MAX);
    if (atomicAdd(mem, table + COUNT, 1) >= max && max !== 0) {
      atomicSub(mem, table + COUNT, 1);
      throw new KernelError('ENFILE', 'alloc_file', `${max} files are open, the machine's limit`);
    }
    const slab = machine.slab(F);
    let ref = 0;
    try {
      ref = slab.alloc(site);
    } catch (error) {
      atomicSub(mem, table + COUNT, 1);
      throw error;
    }
    const p = slab.at(ref);
    F.type.set(mem, p, fileTypeId(machine, type));
    F.priv.set(mem, p, priv);
    F.flags.set(mem, p, flags);
    F.mode.set(mem, p, ((flags + 1) & OpenFlags.ACCMODE) | modeBits(machine));
    F.pos.set(mem, p, 0);
    F.takers.set(mem, p, takerBit(machine.tid));
    F.refs.store(mem, p, 1);
    return new File(machine, ref);
  }

  static of(machine: Machine, fileRef: number): File {
    return new File(machine, fileRef);
  }

  /** Sets how many files may be open on the machine; 0 for no limit. @kernel /proc/sys/fs/file-max */
  static setLimit(machine: Machine, max: number): void {
    atomicStore(machine.mem, fileTable(machine) + MAX, max);
  }

  /** Open files of the machine. */
  static openCount(machine: Machine): number {
    return atomicLoad(machine.mem, fileTable(machine) + COUNT);
  }

  /** Takes a reference; the caller must own one already. @kernel get_file */
  get(): this {
    const p = this.#p;
    refInc(this.machine, p, F.refs);
    this.#noteTaker(p);
    return this;
  }

  /** Takes a reference unless the last one is gone already; tells whether it did. @kernel get_file_active */
  tryGet(): boolean {
    const p = this.machine.slab(F).tryAt(this.ref);
    if (p === 0 || !refIncNotZero(this.machine, p, F.refs)) return false;
    this.#noteTaker(p);
    return true;
  }

  /**
   * Drops a reference. After the last one the file is released: never under a lock of the calling task, but once it has let
   * go of all of them. @kernel fput
   * @throws UsageError when a driver that the release needs is not registered in this thread; the reference is kept then.
   */
  put(): void {
    const { machine } = this;
    const p = this.#p;
    fileOps(machine, F.type.get(machine.mem, p)).checkRelease?.(this);
    if (refDec(machine, p, F.refs)) this.#queueFinal(p, machine.tid);
    if (atomicLoad(machine.mem, fileTable(machine) + DELAYED) !== 0) File.releaseDelayed(machine);
  }

  /**
   * {@link put} for code that has to work in any thread: when that cannot run the release, the next task that can, and puts a
   * file, does. @kernel fput, delayed_fput
   */
  putAnywhere(): void {
    const { machine } = this;
    const p = this.#p;
    if (!refDec(machine, p, F.refs)) return;
    if (this.#canRelease()) return this.#queueFinal(p, machine.tid);
    this.#queueFinal(p, 0);
    atomicAdd(machine.mem, fileTable(machine) + DELAYED, 1);
  }

  /** Releases the files that other tasks could not and this one can. @kernel flush_delayed_fput */
  static releaseDelayed(machine: Machine): void {
    const slab = machine.slab(F);
    for (const ref of slab.live()) {
      const p = slab.tryAt(ref);
      if (p === 0 || F.finalState.load(machine.mem, p) !== FINAL_PENDING || F.finalTask.load(machine.mem, p) !== 0)
        continue;
      const file = new File(machine, ref);
      if (!file.#canRelease() || F.finalTask.cas(machine.mem, p, 0, machine.tid) !== 0) continue;
      atomicSub(machine.mem, fileTable(machine) + DELAYED, 1);
      machine.deferWork(() => file.#final());
    }
  }

  /** Releases the file that a dead task had still to release; tells whether there was anything to do. */
  takeOverFinalPut(dead: number): boolean {
    const { mem } = this.machine;
    const p = this.machine.slab(F).tryAt(this.ref);
    if (p === 0 || F.finalState.load(mem, p) !== FINAL_PENDING || F.finalTask.get(mem, p) !== dead) return false;
    F.finalTask.set(mem, p, this.machine.tid);
    this.machine.deferWork(() => this.#final());
    return true;
  }

  /** References held. */
  get count(): number {
    return F.refs.load(this.machine.mem, this.#p);
  }

  /** Name of the kind of file. */
  get type(): string {
    return fileTypeName(this.machine, F.type.get(this.machine.mem, this.#p));
  }

  get ops(): FileOps {
    return fileOps(this.machine, F.type.get(this.machine.mem, this.#p));
  }

  get priv(): number {
    return F.priv.get(this.machine.mem, this.#p);
  }

  set priv(value: number) {
    F.priv.set(this.machine.mem, this.#p, value);
  }

  get flags(): number {
    return F.flags.get(this.machine.mem, this.#p);
  }

  /** Changes the flags that a program may change, such as O_NONBLOCK. @kernel setfl */
  set flags(value: number) {
    F.flags.set(this.machine.mem, this.#p, value);
  }

  /** Where the next read or write takes place. @kernel f_pos */
  get pos(): number {
    return F.pos.get(this.machine.mem, this.#p);
  }

  set pos(value: number) {
    F.pos.set(this.machine.mem, this.#p, value);
  }

  /** @kernel f_mode */
  get mode(): number {
    return F.mode.get(this.machine.mem, this.#p);
  }

  /** @kernel vfs_llseek @throws KernelError EINVAL when this kind of file cannot seek there, or at all. */
  llseek(offset: number, whence: number): number {
    const { ops } = this;
    if (ops.llseek === undefined) throw new KernelError('EINVAL', 'llseek', `a ${ops.name} file cannot seek`);
    return ops.llseek(this, offset, whence);
  }

  /** Notes that a mapping of this file holds one of its references, or (-1) no longer does. */
  noteMapping(change: 1 | -1): void {
    F.maps.add(this.machine.mem, this.#p, change);
  }

  get #p(): number {
    return this.machine.slab(F).at(this.ref);
  }

  #noteTaker(p: number): void {
    const { mem, tid } = this.machine;
    const bit = takerBit(tid);
    if ((F.takers.get(mem, p) & bit) === 0) F.takers.or(mem, p, bit);
  }

  #canRelease(): boolean {
    const type = F.type.get(this.machine.mem, this.#p);
    if (!knowsFileOps(this.machine, type)) return false;
    try {
      fileOps(this.machine, type).checkRelease?.(this);
      return true;
    } catch (error) {
      if (error instanceof UsageError) return false;
      throw error;
    }
  }

  /** The last reference is gone: has task `tid` release the file, which is the calling one or (0) anybody. */
  #queueFinal(p: number, tid: number): void {
    const { machine } = this;
    F.finalTask.store(machine.mem, p, tid);
    syncPoint('file.final');
    F.finalState.store(machine.mem, p, FINAL_PENDING);
    if (tid !== 0) machine.deferWork(() => this.#final());
  }

  #final(): void {
    const { machine } = this;
    F.finalState.store(machine.mem, this.#p, FINAL_RUNNING);
    if (F.watchers.load(machine.mem, this.#p) !== 0) releaseWatchers(machine, this.ref);
    this.ops.release(this);
    F.finalTask.set(machine.mem, this.#p, 0);
    machine.slab(F).free(this.ref, 'fput');
    atomicSub(machine.mem, fileTable(machine) + COUNT, 1);
  }
}

/** A task's bit among those that took a reference to a file. */
export function takerBit(task: number): number {
  return 1 << (task & 31);
}

function fileTable(machine: Machine): number {
  return machine.root('core.files', 16);
}

function modeBits(machine: Machine): number {
  return CORE_QUIRKS.has(machine, 'core.noFsnotifyMode') ? MODE_BITS & ~FMODE_NONOTIFY : MODE_BITS;
}
