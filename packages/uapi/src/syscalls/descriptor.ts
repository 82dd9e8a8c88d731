import type { File } from '@dmabuf-emu/core';
import type { Process } from '../process/process.ts';

/** @kernel close(2) @throws KernelError EBADF */
export function close(process: Process, fd: number): void {
  process.fds.close(fd | 0);
}

/** The lowest free descriptor for the same file. @kernel dup(2) @throws KernelError EBADF, EMFILE, ENOMEM */
export function dup(process: Process, fd: number): number {
  return process.fds.dup(fd | 0);
}

/** Whether two descriptors stand for one open file. @kernel kcmp(2), KCMP_FILE @throws KernelError EBADF */
export function sameFile(process: Process, a: number, b: number): boolean {
  const first = process.fds.get(a | 0);
  try {
    const second = process.fds.get(b | 0);
    second.put();
    return first.ref === second.ref;
  } finally {
    first.put();
  }
}

/** A file on its way through a socket: nobody's descriptor, but a reference to it. @kernel SCM_RIGHTS */
export class FileInFlight {
  readonly #file: File;

  private constructor(file: File) {
    this.#file = file;
  }

  /** Puts the file behind `fd` into a message. @throws KernelError EBADF */
  static send(process: Process, fd: number): FileInFlight {
    return new FileInFlight(process.fds.get(fd | 0));
  }

  /** Takes it out of the message, as a descriptor of the receiver. @throws KernelError EMFILE, ENOMEM; the file is dropped then. */
  receive(process: Process, { cloexec = true }: { cloexec?: boolean } = {}): number {
    try {
      return process.fds.install(this.#file, { cloexec });
    } catch (error) {
      this.#file.put();
      throw error;
    }
  }
}
