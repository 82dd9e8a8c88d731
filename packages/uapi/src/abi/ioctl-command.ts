import type { AbiStruct } from './layout.ts';

/** Which way the bytes go: into the kernel (1), out of it (2), both. @kernel _IOC_WRITE, _IOC_READ */
export const IOC_WRITE = 1;
export const IOC_READ = 2;

/** An ioctl command of the user API. */
export interface IoctlCommand<S> {
  readonly name: string;
  readonly number: number;
  /** What the argument points to. */
  readonly struct: S;
}

/** The number of a command. @kernel _IOC */
export function ioctlNumber(direction: number, type: string, nr: number, size: number): number {
  return ((direction << 30) | (size << 16) | (type.charCodeAt(0) << 8) | nr) >>> 0;
}

/** The parts of a command's number. */
export function ioctlParts(number: number): { direction: number; type: string; nr: number; size: number } {
  return {
    direction: number >>> 30,
    size: (number >>> 16) & 0x3fff,
    type: String.fromCharCode((number >>> 8) & 0xff),
    nr: number & 0xff,
  };
}

/** A command that passes a struct in. @kernel _IOW */
export function iow<S extends AbiStruct<object>>(name: string, type: string, nr: number, struct: S): IoctlCommand<S> {
  return { name, number: ioctlNumber(IOC_WRITE, type, nr, struct.size), struct };
}

/** A command that passes a struct in and out. @kernel _IOWR */
export function iowr<S extends AbiStruct<object>>(name: string, type: string, nr: number, struct: S): IoctlCommand<S> {
  return { name, number: ioctlNumber(IOC_WRITE | IOC_READ, type, nr, struct.size), struct };
}
