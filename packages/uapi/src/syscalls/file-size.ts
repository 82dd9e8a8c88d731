import { KernelError } from '@dmabuf-emu/shm';
import { behaviourOf } from '../files/behaviours.ts';
import type { Process } from '../process/process.ts';
import { Fmode, withFile } from './with-file.ts';

/** @kernel FALLOC_FL_* */
const KEEP_SIZE = 1;
const PUNCH_HOLE = 2;
const KNOWN_MODES = 0xff;

/** Changes a file's size. @kernel ftruncate(2) @throws KernelError EBADF, EINVAL, EPERM */
export function ftruncate(process: Process, fd: number, length: bigint): void {
  const size = BigInt.asIntN(64, length);
  if (size < 0n) throw new KernelError('EINVAL', 'ftruncate', `length ${size} is below 0`);
  withFile(process, fd, (open) => {
    const { regular, truncate } = behaviourOf(open.file);
    if (regular !== true || truncate === undefined || (open.file.mode & Fmode.WRITE) === 0) {
      throw new KernelError('EINVAL', 'ftruncate', `a ${open.file.type} file that cannot be written or resized`);
    }
    truncate(open, Number(size));
  });
}

/** Allocates or frees a part of a file. @kernel fallocate(2) @throws KernelError EBADF, EINVAL, EOPNOTSUPP, ENODEV, EFBIG, EPERM */
export function fallocate(process: Process, fd: number, mode: number, offset: bigint, length: bigint): void {
  withFile(process, fd, (open) => {
    const { file } = open;
    const [from, count] = [BigInt.asIntN(64, offset), BigInt.asIntN(64, length)];
    if (from < 0n || count <= 0n) throw new KernelError('EINVAL', 'vfs_fallocate', `offset ${from}, length ${count}`);
    if ((mode & ~KNOWN_MODES) !== 0 || ((mode & PUNCH_HOLE) !== 0 && (mode & KEEP_SIZE) === 0)) {
      throw new KernelError('EOPNOTSUPP', 'vfs_fallocate', `mode ${mode}`);
    }
    if ((file.mode & Fmode.WRITE) === 0) throw new KernelError('EBADF', 'vfs_fallocate', 'not open for writing');
    const { regular, allocate } = behaviourOf(file);
    if (regular !== true) throw new KernelError('ENODEV', 'vfs_fallocate', `a ${file.type} file is not regular`);
    if (from + count > 2n ** 63n - 1n) throw new KernelError('EFBIG', 'vfs_fallocate', 'beyond the largest offset');
    if (allocate === undefined) throw new KernelError('EOPNOTSUPP', 'vfs_fallocate', `a ${file.type} file`);
    allocate(open, mode, Number(from), Number(count));
  });
}

/** @kernel fsync(2) @throws KernelError EBADF, EINVAL when the kind of file has nothing to write back */
export function fsync(process: Process, fd: number): void {
  withFile(process, fd, (open) => {
    const { sync } = behaviourOf(open.file);
    if (sync === undefined)
      throw new KernelError('EINVAL', 'vfs_fsync', `a ${open.file.type} file has nothing to sync`);
    sync(open);
  });
}
