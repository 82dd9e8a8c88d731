import { KernelError, type Machine, orUndo, refDec, refInc, TaskStruct, UsageError, withSpin } from '@dmabuf-emu/shm';
import { FdTableStruct as P, RESERVED } from './fd-table-struct.ts';
import { File } from './file.ts';
import {
  allocBlock,
  entryAt,
  freeBlock,
  growTable,
  peekEntry,
  setEntry,
  settleEntry,
  sizeOf,
  takeEntry,
} from './internal/fd-entries.ts';
import { OpenFlags } from './open-flags.ts';

/** Descriptors that a process may have unless told otherwise. @kernel RLIMIT_NOFILE */
export const DEFAULT_FD_LIMIT = 1024;
/** Most descriptors that any process may have: what fits in one block of the arena. */
export const MAX_FD_LIMIT = 1 << 18;

const FIRST_SIZE = 32;

/** An open descriptor. */
export interface FdEntry {
  readonly fd: number;
  readonly file: File;
  readonly cloexec: boolean;
}

/**
 * The file descriptors of one emulated process, which any number of tasks can share. A handle over the struct behind `ref`.
 * @kernel files_struct
 */
export class FdTable {
  /** What every task that has a process takes part in; set by the module that knows how. */
  static prepare: (machine: Machine) => void = () => {};

  readonly machine: Machine;
  readonly ref: number;

  constructor(machine: Machine, tableRef: number) {
    this.machine = machine;
    this.ref = tableRef;
  }

  /**
   * A process without descriptors that no task uses yet: see {@link join}.
   * @param options.limit descriptors that it may have.
   * @throws KernelError ENOMEM
   */
  static create(
    machine: Machine,
    { name = 'process', limit = DEFAULT_FD_LIMIT }: { name?: string; limit?: number } = {},
  ): FdTable {
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_FD_LIMIT) {
      throw new UsageError(`a process may have 1 to ${MAX_FD_LIMIT} descriptors, got limit ${limit}`);
    }
    const slab = machine.slab(P);
    const block = allocBlock(machine, Math.min(FIRST_SIZE, limit), 'dup_fd.entries');
    const table = orUndo(
      () => slab.alloc('dup_fd'),
      () => freeBlock(machine, block, 'dup_fd'),
    );
    const p = slab.at(table);
    P.name.set(machine.mem, p, machine.intern(name));
    P.limit.set(machine.mem, p, limit);
    P.block.set(machine.mem, p, block);
    return new FdTable(machine, table);
  }

  static of(machine: Machine, tableRef: number): FdTable {
    return new FdTable(machine, tableRef);
  }

  /** Whether a process has not ended yet. */
  static isLive(machine: Machine, tableRef: number): boolean {
    return machine.slab(P).tryAt(tableRef) !== 0;
  }

  /** The calling task's process; it gets one of its own on first use. */
  static current(machine: Machine): FdTable {
    const table = TaskStruct.process.get(machine.mem, machine.taskAt);
    if (table !== 0) return new FdTable(machine, table);
    return FdTable.create(machine, { name: machine.taskName(machine.tid) }).join();
  }

  /** Makes this the calling task's process, which leaves the one it was in. Leaving the machine leaves the process. */
  join(): this {
    const { machine } = this;
    const before = TaskStruct.process.get(machine.mem, machine.taskAt);
    if (before === this.ref) return this;
    FdTable.prepare(machine);
    if (before !== 0) new FdTable(machine, before).#checkDrop();
    const p = this.#p;
    if (P.users.load(machine.mem, p) === 0) P.users.store(machine.mem, p, 1);
    else refInc(machine, p, P.users);
    TaskStruct.process.set(machine.mem, machine.taskAt, this.ref);
    machine.onLeave('core.fd-table', () => leave(machine));
    if (before !== 0) new FdTable(machine, before).#drop();
    return this;
  }

  /** The calling task leaves its process; the last one to do so closes every descriptor, in order. @kernel exit_files */
  static exit(machine: Machine): void {
    FdTable.exitTask(machine, machine.taskAt);
  }

  /** {@link exit} on behalf of the task whose record is at word `task`. */
  static exitTask(machine: Machine, task: number): void {
    const table = TaskStruct.process.get(machine.mem, task);
    if (table === 0) return;
    new FdTable(machine, table).#checkDrop();
    TaskStruct.process.set(machine.mem, task, 0);
    new FdTable(machine, table).#drop();
  }

  /**
   * Gives `file` the lowest free descriptor, which takes over the caller's reference. @kernel fd_install
   * @throws KernelError EMFILE at the limit, ENOMEM; the caller keeps its reference then.
   */
  install(file: File, { cloexec = false }: { cloexec?: boolean } = {}): number {
    return this.#allocate(file.ref, 0, cloexec);
  }

  /** Takes the lowest free descriptor without a file, for {@link fill} or {@link unreserve}. @kernel get_unused_fd_flags */
  reserve({ cloexec = false }: { cloexec?: boolean } = {}): number {
    return this.#allocate(RESERVED, 0, cloexec);
  }

  /** Puts `file` behind a reserved descriptor, which takes over the caller's reference. @kernel fd_install */
  fill(fd: number, file: File): void {
    if (this.#locked((p) => settleEntry(this.machine, p, fd, file.ref))) return;
    throw new UsageError(`descriptor ${fd} is not reserved`);
  }

  /** Gives a reserved descriptor back. @kernel put_unused_fd */
  unreserve(fd: number): void {
    if (this.#locked((p) => settleEntry(this.machine, p, fd, 0))) return;
    throw new UsageError(`descriptor ${fd} is not reserved`);
  }

  /**
   * The file behind `fd`, with a reference of the caller's own. @kernel fget
   * @throws KernelError EBADF; UsageError when this thread could not drop the reference again, see {@link File.put}.
   */
  get(fd: number): File {
    const found = this.#locked((p) => {
      const file = this.#checked(p, fd);
      return file?.tryGet() === true ? file : undefined;
    });
    if (found === undefined) throw this.#badFd('fget', fd);
    return found;
  }

  /** @kernel close_fd @throws KernelError EBADF; UsageError as {@link File.put}, the descriptor stays open then. */
  close(fd: number): void {
    const file = this.#locked((p) => {
      const open = this.#checked(p, fd);
      if (open !== undefined) setEntry(this.machine, p, fd, 0);
      return open;
    });
    if (file === undefined) throw this.#badFd('close', fd);
    file.put();
  }

  /** Another descriptor for the same file: the lowest free one from `least` on. @kernel F_DUPFD @throws KernelError EBADF, EMFILE, ENOMEM */
  dup(fd: number, least = 0, { cloexec = false }: { cloexec?: boolean } = {}): number {
    const file = this.get(fd);
    try {
      return this.#allocate(file.ref, least, cloexec);
    } catch (error) {
      file.put();
      throw error;
    }
  }

  /** What /proc/PID/fdinfo/FD shows, line by line, without `mnt_id` and `ino`. @throws KernelError EBADF */
  fdinfo(fd: number): string[] {
    const file = this.get(fd);
    const flags = file.flags | (this.cloexec(fd) ? OpenFlags.CLOEXEC : 0);
    const lines = [`pos:\t${file.pos}`, `flags:\t0${flags.toString(8)}`, ...(file.ops.fdinfo?.(file) ?? [])];
    file.put();
    return lines;
  }

  /** What the link /proc/PID/fd/FD says. @throws KernelError EBADF */
  link(fd: number): string {
    const file = this.get(fd);
    const text = file.ops.linkText?.(file) ?? `anon_inode:${file.type}`;
    file.put();
    return text;
  }

  /** Open descriptors, lowest first. The files are borrowed: no reference is taken. */
  entries(): FdEntry[] {
    const { machine } = this;
    return this.#locked((p) => {
      const found: FdEntry[] = [];
      for (let fd = 0; fd < sizeOf(machine, p); fd++) {
        const file = peekEntry(machine, p, fd);
        if (file === 0) continue;
        found.push({ fd, file: new File(machine, file), cloexec: machine.mem.i32[entryAt(machine, p, fd) + 1] !== 0 });
      }
      return found;
    });
  }

  /** Descriptors taken, reserved ones included. */
  get size(): number {
    return P.open.get(this.machine.mem, this.#p);
  }

  /** New descriptors are below it; those that are open stay. @kernel RLIMIT_NOFILE */
  get limit(): number {
    return P.limit.get(this.machine.mem, this.#p);
  }

  /** @throws UsageError beyond {@link MAX_FD_LIMIT} */
  set limit(limit: number) {
    if (!Number.isInteger(limit) || limit < 0 || limit > MAX_FD_LIMIT) {
      throw new UsageError(`a process may have 0 to ${MAX_FD_LIMIT} descriptors, got limit ${limit}`);
    }
    P.limit.set(this.machine.mem, this.#p, limit);
  }

  /** Whether `fd` is closed on exec. @kernel F_GETFD @throws KernelError EBADF */
  cloexec(fd: number): boolean {
    return this.#flags(fd, 'F_GETFD', (at) => this.machine.mem.i32[at]!) !== 0;
  }

  /** @kernel F_SETFD @throws KernelError EBADF */
  setCloexec(fd: number, cloexec: boolean): void {
    this.#flags(fd, 'F_SETFD', (at) => (this.machine.mem.i32[at] = cloexec ? 1 : 0));
  }

  get name(): string {
    return this.machine.string(P.name.get(this.machine.mem, this.#p));
  }

  get #p(): number {
    return this.machine.slab(P).at(this.ref);
  }

  #locked<T>(fn: (p: number) => T): T {
    const p = this.#p;
    return withSpin(this.machine, p + P.lock.at, () => fn(p));
  }

  #flags(fd: number, where: string, fn: (at: number) => number): number {
    const value = this.#locked((p) =>
      peekEntry(this.machine, p, fd) === 0 ? undefined : fn(entryAt(this.machine, p, fd) + 1),
    );
    if (value === undefined) throw this.#badFd(where, fd);
    return value;
  }

  /** The file behind `fd`, once it is sure that this thread could release it. The lock must be held: it keeps the file alive. */
  #checked(p: number, fd: number): File | undefined {
    const ref = peekEntry(this.machine, p, fd);
    if (ref === 0) return undefined;
    const file = new File(this.machine, ref);
    file.ops.checkRelease?.(file);
    return file;
  }

  #allocate(file: number, least: number, cloexec: boolean): number {
    for (;;) {
      const fd = this.#locked((p) => takeEntry(this.machine, p, file, least, cloexec ? 1 : 0));
      if (fd >= 0) return fd;
      growTable(this.machine, this.#p, least);
    }
  }

  /** Throws, while nothing is changed, when this thread could not release every file that goes with the last user. */
  #checkDrop(): void {
    this.#locked((p) => {
      if (P.users.load(this.machine.mem, p) !== 1) return;
      for (let fd = 0; fd < sizeOf(this.machine, p); fd++) this.#checked(p, fd);
    });
  }

  #drop(): void {
    const { machine } = this;
    const p = this.#p;
    if (!refDec(machine, p, P.users)) return;
    for (const { fd } of this.entries()) this.close(fd);
    freeBlock(machine, P.block.get(machine.mem, p), 'exit_files');
    machine.slab(P).free(this.ref, 'exit_files');
  }

  #badFd(where: string, fd: number): KernelError {
    return new KernelError('EBADF', where, `process '${this.name}' has no open descriptor ${fd}`);
  }
}

/** A task that cannot close its descriptors leaves all the same, and the leak is on record. */
function leave(machine: Machine): void {
  try {
    FdTable.exit(machine);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    machine.diag.warn('exit-files', `task ${machine.tid} leaves without closing its descriptors: ${error.message}`);
  }
}
