import { KernelError } from '@dmabuf-emu/shm';
import { behaviourOf } from '../files/behaviours.ts';
import type { OpenFile } from '../files/file-behaviour.ts';
import type { Process } from '../process/process.ts';
import { Fmode, withFile } from './with-file.ts';

/** Most bytes that one call moves. @kernel MAX_RW_COUNT */
const MAX_RW_COUNT = 0x7ffff000;
/** Largest whence. @kernel SEEK_MAX */
const SEEK_MAX = 4;

/**
 * Reads from where the file stands into memory at `address`; returns the number of bytes. @kernel read(2)
 * @throws KernelError EBADF, EINVAL, EFAULT, EAGAIN
 */
export function read(process: Process, fd: number, address: bigint, count: bigint): number {
  return withFile(process, fd, (open) => {
    const { file } = open;
    const bytes = readBytes(open, count, file.pos);
    process.memory.write(address, bytes);
    if (behaviourOf(file).positioned === true) file.pos += bytes.length;
    return bytes.length;
  });
}

/** Reads at `offset`; the file stays where it stands. @kernel pread64(2) @throws KernelError as {@link read}; ESPIPE, EINVAL below 0 */
export function pread(process: Process, fd: number, address: bigint, count: bigint, offset: bigint): number {
  const position = checkedPosition(offset);
  return withFile(process, fd, (open) => {
    checkPositioned(open);
    const bytes = readBytes(open, count, position);
    process.memory.write(address, bytes);
    return bytes.length;
  });
}

/**
 * Writes memory at `address` to where the file stands; returns the number of bytes. @kernel write(2)
 * @throws KernelError EBADF, EINVAL, EFAULT, EPERM, EAGAIN
 */
export function write(process: Process, fd: number, address: bigint, count: bigint): number {
  return withFile(process, fd, (open) => {
    const { file } = open;
    const done = writeBytes(open, address, count, file.pos);
    if (behaviourOf(file).positioned === true) file.pos += done;
    return done;
  });
}

/** Writes at `offset`. @kernel pwrite64(2) @throws KernelError as {@link write}; ESPIPE, EINVAL below 0 */
export function pwrite(process: Process, fd: number, address: bigint, count: bigint, offset: bigint): number {
  const position = checkedPosition(offset);
  return withFile(process, fd, (open) => {
    checkPositioned(open);
    return writeBytes(open, address, count, position);
  });
}

/** Moves where the file stands. @kernel lseek(2) @throws KernelError EBADF, EINVAL, ESPIPE */
export function lseek(process: Process, fd: number, offset: bigint, whence: number): number {
  return withFile(process, fd, (open) => {
    const behaviour = behaviourOf(open.file);
    if (whence < 0 || whence > SEEK_MAX) throw new KernelError('EINVAL', 'lseek', `whence is 0 to 4, got ${whence}`);
    if (behaviour.seekable !== true) throw new KernelError('ESPIPE', 'lseek', `a ${open.file.type} file cannot seek`);
    const signed = Number(BigInt.asIntN(64, offset));
    return behaviour.llseek?.(open, signed, whence) ?? open.file.llseek(signed, whence);
  });
}

function readBytes(open: OpenFile, count: bigint, position: number): Uint8Array {
  const { file } = open;
  if ((file.mode & Fmode.READ) === 0) throw new KernelError('EBADF', 'read', 'the file is not open for reading');
  const behaviour = behaviourOf(file);
  if (behaviour.read === undefined) throw new KernelError('EINVAL', 'read', `a ${file.type} file cannot be read`);
  return behaviour.read(open, checkedCount(count), position);
}

function writeBytes(open: OpenFile, address: bigint, count: bigint, position: number): number {
  const { file, process } = open;
  if ((file.mode & Fmode.WRITE) === 0) throw new KernelError('EBADF', 'write', 'the file is not open for writing');
  const behaviour = behaviourOf(file);
  if (behaviour.write === undefined) throw new KernelError('EINVAL', 'write', `a ${file.type} file cannot be written`);
  return behaviour.write(open, process.memory.read(address, checkedCount(count)), position);
}

function checkedCount(count: bigint): number {
  if (BigInt.asIntN(64, count) < 0n) throw new KernelError('EINVAL', 'rw_verify_area', `count ${count} is below 0`);
  return count > BigInt(MAX_RW_COUNT) ? MAX_RW_COUNT : Number(count);
}

function checkedPosition(offset: bigint): number {
  const position = BigInt.asIntN(64, offset);
  if (position < 0n) throw new KernelError('EINVAL', 'pread64', `offset ${position} is below 0`);
  return Number(position);
}

/** Files that were opened by path have positions, even those that can neither seek nor be read. */
function checkPositioned({ file }: OpenFile): void {
  if (behaviourOf(file).positioned === true) return;
  throw new KernelError('ESPIPE', 'pread64', `a ${file.type} file has no positions`);
}
