import { type Machine, UsageError } from '@dmabuf-emu/shm';
import type { File } from './file.ts';
import type { PollTable } from './poll/poll-table.ts';
import type { VmArea } from './vm-area.ts';

/** Kind of driver that file operations are. */
export const FILE_DRIVER = 'file';

/** What a kind of file does. Registered by name in every thread that may close such files. @kernel file_operations */
export interface FileOps {
  readonly name: string;
  /** The last reference is gone: frees what `priv` refers to. Runs with no lock held, maybe in another task than the put. */
  release(file: File): void;
  /**
   * Throws when this thread could not run {@link release}; asked before a reference is taken or dropped, while nothing is
   * changed. Must not wait: it may run under a spin lock.
   */
  checkRelease?(file: File): void;
  /** What the file is called in reports. */
  describe?(file: File): string;
  /** What the link in /proc/PID/fd says. */
  linkText?(file: File): string;
  /** Lines that this kind of file adds to its fdinfo. @kernel show_fdinfo */
  fdinfo?(file: File): readonly string[];
  /** @kernel llseek */
  llseek?(file: File, offset: number, whence: number): number;
  /**
   * What the file is ready for: a mask of `PollEvents`. Registers with `table` (undefined: nobody wants to know) on the heads
   * that are woken when that changes, before it looks. Without it the file cannot be watched by epoll.
   */
  poll?(file: File, table: PollTable | undefined): number;
  /** Puts the file behind `area`: sets `area.ops`. The access mode was checked. */
  mmap?(file: File, area: VmArea): void;
}

const builtin = new Map<string, FileOps>();

/** Declares a kind of file that is part of the core: every thread has it. */
export function builtinFileOps(ops: FileOps): FileOps {
  builtin.set(ops.name, ops);
  return ops;
}

/** Whether the calling thread knows a kind of file. */
export function knowsFileOps(machine: Machine, type: number): boolean {
  if (machine.drivers.has(FILE_DRIVER, type)) return true;
  const ops = builtin.get(fileTypeName(machine, type));
  if (ops !== undefined) machine.drivers.register(FILE_DRIVER, ops.name, ops);
  return ops !== undefined;
}

/** Number of the kind of file called `name`. */
export function fileTypeId(machine: Machine, name: string): number {
  return machine.drivers.id(FILE_DRIVER, name);
}

/** Name of a kind of file. */
export function fileTypeName(machine: Machine, type: number): string {
  return machine.drivers.name(FILE_DRIVER, type);
}

/** Operations of a kind of file. @throws UsageError when this thread has not registered them. */
export function fileOps(machine: Machine, type: number): FileOps {
  if (!knowsFileOps(machine, type)) {
    throw new UsageError(
      `thread '${machine.taskName(machine.tid)}' (task ${machine.tid}) knows no files of kind '${fileTypeName(machine, type)}': ` +
        'call registerDrivers(machine, [...]) with the drivers of the machine there first',
    );
  }
  return machine.drivers.get<FileOps>(FILE_DRIVER, type);
}
