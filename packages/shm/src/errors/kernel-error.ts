import { ERRNO, type ErrnoName } from './errno.ts';

/**
 * A kernel call failed: the error that C code returns as a negative number.
 * Shaped like Node's system errors: `code` is the errno name, `errno` its (positive) number, `syscall` the kernel function.
 */
export class KernelError extends Error {
  readonly code: ErrnoName;
  readonly errno: number;
  readonly syscall: string;

  constructor(code: ErrnoName, syscall: string, detail?: string) {
    super(detail === undefined ? `${code}, ${syscall}` : `${code}, ${syscall}: ${detail}`);
    this.name = 'KernelError';
    this.code = code;
    this.errno = ERRNO[code];
    this.syscall = syscall;
  }
}

/** `BUG()`: an invariant of the emulated kernel is broken. The machine is poisoned when this is thrown. */
export class KernelBug extends KernelError {
  constructor(syscall: string, detail: string) {
    super('ENOTRECOVERABLE', syscall, detail);
    this.name = 'KernelBug';
  }
}

/** The caller used the library wrongly (bad option, bad handle); nothing was created or changed. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/**
 * Thrown through kernel code to end a task at a synchronisation point. It stands for a CPU that stopped: code that catches
 * it must rethrow it and must not release locks or references on the way. Deliberately not an `Error`.
 */
export class TaskKilled {
  readonly taskId: number;
  readonly label: string;

  constructor(taskId: number, label: string) {
    this.taskId = taskId;
    this.label = label;
  }
}

/** True when `error` is a {@link KernelError} with one of `codes` (any code when none is given). */
export function isKernelError(error: unknown, ...codes: ErrnoName[]): error is KernelError {
  return error instanceof KernelError && (codes.length === 0 || codes.includes(error.code));
}
