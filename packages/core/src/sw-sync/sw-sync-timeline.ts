import { KernelError, type Machine, orUndo } from '@dmabuf-emu/shm';
import { FdTable } from '../fd/fd-table.ts';
import { File } from '../fd/file.ts';
import { OpenFlags } from '../fd/open-flags.ts';
import { Fence } from '../fence/fence.ts';
import { fenceContextAlloc } from '../fence/functions.ts';
import { installNew } from '../sync-file/internal/install.ts';
import { cutName } from '../sync-file/internal/name.ts';
import { SyncFile } from '../sync-file/sync-file.ts';
import { prepareSwSync, SW_SYNC_FILE } from './internal/file-ops.ts';
import { createPoint, pointOf, signalPoints } from './internal/points.ts';
import { PointStruct as P, TimelineStruct as T } from './internal/structs.ts';
import { listTimeline } from './internal/timeline.ts';

/** @kernel TASK_COMM_LEN */
const COMM_BYTES = 15;
const INT_MAX = 0x7fffffff;

/** What SW_SYNC_GET_DEADLINE is given. */
export interface DeadlineRequest {
  /** Descriptor of a sync_file. */
  readonly fd: number;
  readonly deadlineNs?: number;
  readonly pad?: number;
}

/**
 * A timeline that a program moves on by hand: fences at values, which end when it is moved past them. For tests of everything
 * that waits for fences. A handle over the file, which is the timeline: when that is closed, what was not reached ends with
 * ENOENT. @kernel sync_timeline
 */
export class SwSyncTimeline {
  readonly machine: Machine;
  readonly file: File;
  readonly #ref: number;

  private constructor(file: File) {
    this.machine = file.machine;
    this.file = file;
    this.#ref = file.priv;
  }

  /**
   * A timeline at value 0, named after the calling task. The caller owns the file's one reference.
   * @kernel sw_sync_debugfs_open @throws KernelError ENOMEM, ENFILE
   */
  static create(machine: Machine): SwSyncTimeline {
    prepareSwSync(machine);
    const { mem } = machine;
    const slab = machine.slab(T);
    const ref = slab.alloc('sync_timeline_create');
    const t = slab.at(ref);
    const file = orUndo(
      () => File.create(machine, { type: SW_SYNC_FILE, priv: ref, flags: OpenFlags.RDWR }, 'sw_sync.file'),
      () => slab.free(ref, 'sync_timeline_create'),
    );
    T.refs.store(mem, t, 1);
    T.name.set(mem, t, machine.intern(cutName(machine.taskName(machine.tid), COMM_BYTES)));
    T.context.set(mem, t, fenceContextAlloc(machine));
    listTimeline(machine, ref);
    return new SwSyncTimeline(file);
  }

  /** @throws KernelError EINVAL when `file` is of another kind */
  static of(file: File): SwSyncTimeline {
    prepareSwSync(file.machine);
    if (file.type === SW_SYNC_FILE) return new SwSyncTimeline(file);
    throw new KernelError('EINVAL', 'sw_sync', `a ${file.type} file is no timeline`);
  }

  get name(): string {
    return this.machine.string(T.name.get(this.machine.mem, this.#t));
  }

  /** How far it is, modulo 2^32. */
  get value(): number {
    return T.value.load(this.machine.mem, this.#t) >>> 0;
  }

  /**
   * A reference to the fence at `value`, modulo 2^32: one that has ended when the timeline is there already or less than 2^31
   * past it; the same one for the same value as long as it is pending.
   * @kernel sync_pt_create @throws KernelError ENOMEM
   */
  createFence(value: number): Fence {
    return Fence.of(this.machine, createPoint(this.machine, this.#ref, value | 0));
  }

  /**
   * A descriptor for a sync_file of the fence at `value`.
   * @param value or what reads it, which may throw EFAULT.
   * @param copyOut is told the descriptor before anything is behind it; it may throw EFAULT.
   * @throws KernelError EMFILE, ENOMEM, with nothing left behind
   * @kernel SW_SYNC_IOC_CREATE_FENCE
   */
  createFenceFd(value: number | (() => number), copyOut?: (fd: number) => void): number {
    const make = (): SyncFile => {
      const fence = this.createFence(typeof value === 'function' ? value() : value);
      const made = orUndo(
        () => SyncFile.create(fence),
        () => fence.put(),
      );
      fence.put();
      return made;
    };
    return installNew(this.machine, make, copyOut);
  }

  /**
   * Moves it on by `by` (32 bit), in steps of INT_MAX, and ends what it comes past, in the order of values.
   * @kernel SW_SYNC_IOC_INC
   */
  inc(by = 1): void {
    let left = by >>> 0;
    for (; left > INT_MAX; left -= INT_MAX) this.#step(INT_MAX);
    this.#step(left);
  }

  /**
   * When the fence of a sync_file, which need not be of this timeline, is needed: the earliest deadline that was set on it, in
   * nanoseconds of the machine's clock.
   * @throws KernelError EINVAL (fields that must be 0, no sync_file, no fence of a timeline), ENOENT (no deadline)
   * @kernel SW_SYNC_GET_DEADLINE
   */
  deadline({ fd, deadlineNs = 0, pad = 0 }: DeadlineRequest): number {
    const { machine } = this;
    if (deadlineNs !== 0 || pad !== 0) throw new KernelError('EINVAL', 'SW_SYNC_GET_DEADLINE', 'fields must be 0');
    const fence = SyncFile.fenceOf(machine, fd);
    if (fence === undefined) {
      throw new KernelError('EINVAL', 'SW_SYNC_GET_DEADLINE', `descriptor ${fd} is no sync_file`);
    }
    const p = pointOf(machine, fence);
    const isSet = p !== undefined && P.hasDeadline.get(machine.mem, p) !== 0;
    const deadline = isSet ? P.deadline.get(machine.mem, p) : 0;
    fence.put();
    if (p === undefined) {
      throw new KernelError('EINVAL', 'SW_SYNC_GET_DEADLINE', `the fence of descriptor ${fd} is on no timeline`);
    }
    if (!isSet) throw new KernelError('ENOENT', 'SW_SYNC_GET_DEADLINE', 'no deadline was set');
    return deadline;
  }

  /** A descriptor in the calling task's process; takes over the caller's reference. @throws KernelError EMFILE, ENOMEM */
  fd({ cloexec = false }: { cloexec?: boolean } = {}): number {
    return FdTable.current(this.machine).install(this.file, { cloexec });
  }

  #step(by: number): void {
    const { trace, mem } = this.machine;
    const t = this.#t;
    if (trace.on) trace.event(trace.name('sync_timeline'), this.#ref, T.name.get(mem, t), T.value.load(mem, t));
    signalPoints(this.machine, t, by);
  }

  get #t(): number {
    return this.machine.slab(T).at(this.#ref);
  }
}
