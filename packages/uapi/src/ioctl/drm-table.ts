import { DrmFile } from '@dmabuf-emu/exporter-heap';
import { KernelError } from '@dmabuf-emu/shm';
import { IOC_READ, IOC_WRITE, type IoctlCommand, ioctlParts } from '../abi/ioctl-command.ts';
import type { AbiStruct, AbiValues } from '../abi/layout.ts';
import type { IoctlCall } from '../files/file-behaviour.ts';
import { notTty } from '../syscalls/ioctl.ts';
import type { IoctlHandler } from './ioctl-table.ts';

/** What a command of a DRM device gets: the device, the caller, and the struct, which it may change. */
export interface DrmCall<F> {
  readonly drm: DrmFile;
  readonly call: IoctlCall;
  readonly args: AbiValues<F>;
}

/** A command of DRM devices, for any struct. */
export interface DrmCommand {
  readonly command: IoctlCommand<AbiStruct<object>>;
  run(values: DrmCall<object>): void;
}

/** Declares a command of DRM devices. */
export function drmCommand<F extends object>(
  command: IoctlCommand<AbiStruct<F>>,
  run: (call: DrmCall<F>) => void,
): DrmCommand {
  return { command, run };
}

/**
 * Commands by their nr: a program may use a shorter or longer struct than the kernel's, and leave a direction out. What a
 * command changed is copied out even when it fails. @kernel drm_ioctl
 */
export function drmTable(commands: readonly DrmCommand[]): IoctlHandler {
  const byNr = new Map(commands.map((one) => [ioctlParts(one.command.number).nr, one]));
  return (call) => {
    const { type, nr, direction, size } = ioctlParts(call.command);
    if (type !== 'd') throw notTty(call, call.command);
    const found = byNr.get(nr);
    if (found === undefined) throw new KernelError('EINVAL', 'drm_ioctl', `there is no command 0x${nr.toString(16)}`);
    const { struct, number } = found.command;
    const both = direction & ioctlParts(number).direction;
    const { memory } = call.process;
    const given = (both & IOC_WRITE) === 0 ? new Uint8Array() : memory.read(call.argument, size);
    const args = struct.decode(given);
    try {
      found.run({ drm: DrmFile.of(call.file), call, args });
    } finally {
      if ((both & IOC_READ) !== 0) copyOut(call, size, given, struct.encode(args));
    }
    return 0;
  };
}

/** Bytes beyond the kernel's struct come back as they were. */
function copyOut({ process, argument }: IoctlCall, size: number, given: Uint8Array, bytes: Uint8Array): void {
  const out = new Uint8Array(size);
  out.set(given);
  out.set(bytes.subarray(0, size));
  process.memory.write(argument, out);
}
