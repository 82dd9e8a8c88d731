import type { IoctlCall } from '../files/file-behaviour.ts';
import { notTty } from '../syscalls/ioctl.ts';

/** Carries a command out; returns what ioctl(2) returns. @throws KernelError */
export type IoctlHandler = (call: IoctlCall) => number;

/** A kind of file's commands by their whole number; any other is ENOTTY. */
export function ioctlTable(handlers: readonly (readonly [command: number, handler: IoctlHandler])[]): IoctlHandler {
  const byNumber = new Map(handlers);
  return (call) => {
    const handler = byNumber.get(call.command);
    if (handler === undefined) throw notTty(call, call.command);
    return handler(call);
  };
}
