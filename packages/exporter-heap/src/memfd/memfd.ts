import { FdTable, File, type MmapRequest, OpenFlags, type VmArea } from '@dmabuf-emu/core';
import { KernelError, type Machine, orUndo } from '@dmabuf-emu/shm';
import { Shmem } from '../memory/shmem.ts';
import { ShmemStruct as S } from '../memory/shmem-struct.ts';
import { MEMFD_FILE, prepareMemfds, shmemOf } from './file-ops.ts';
import { HUGE_MASK, HUGE_SHIFT, MEMFD_NAME_BYTES, MemfdFlags, Seal } from './flags.ts';
import { mmapMemfd } from './mmap.ts';
import { readAt, writeAt } from './read-write.ts';
import { fallocate, truncate } from './resize.ts';
import { addSeals, sealsOf } from './seals.ts';

const KNOWN_FLAGS = 0x1f;
/** Logarithm of the size of a huge page; the only size that there is. */
const HUGE_LOG = 21;

/** An open file in memory. A handle; the file behind it counts references. @kernel memfd */
export class Memfd {
  readonly file: File;
  readonly shmem: Shmem;

  private constructor(file: File) {
    this.file = file;
    this.shmem = shmemOf(file);
  }

  /**
   * Makes an empty file with one reference, which the caller owns.
   * @kernel memfd_create
   * @throws KernelError EINVAL (flags, name longer than 249 bytes), ENODEV (no such huge pages), ENFILE, ENOMEM
   */
  static create(machine: Machine, name: string, flags: number = MemfdFlags.ALLOW_SEALING): Memfd {
    prepareMemfds(machine);
    checkFlags(flags);
    if (new TextEncoder().encode(name).length > MEMFD_NAME_BYTES) {
      throw new KernelError('EINVAL', 'memfd_create', `a name has up to ${MEMFD_NAME_BYTES} bytes`);
    }
    const huge = (flags & MemfdFlags.HUGETLB) !== 0;
    const log = (flags >>> HUGE_SHIFT) & HUGE_MASK;
    if (huge && log !== 0 && log !== HUGE_LOG) {
      throw new KernelError('ENODEV', 'memfd_create', `no huge pages of 2^${log} bytes`);
    }
    const shmem = Shmem.create(machine, 0, { huge, label: name });
    const noExec = (flags & MemfdFlags.NOEXEC_SEAL) !== 0;
    const sealable = noExec || (flags & MemfdFlags.ALLOW_SEALING) !== 0;
    S.seals.store(machine.mem, shmem.p, (sealable ? 0 : Seal.SEAL) | (noExec ? Seal.EXEC : 0));
    S.executable.set(machine.mem, shmem.p, noExec ? 0 : 1);
    return orUndo(
      () => Memfd.open(shmem, OpenFlags.RDWR | OpenFlags.LARGEFILE),
      () => shmem.put(),
    );
  }

  /** Another open file of the same bytes; takes over the caller's reference to them. @throws KernelError ENFILE, ENOMEM */
  static open(shmem: Shmem, flags: number): Memfd {
    const { machine } = shmem;
    prepareMemfds(machine);
    const file = File.create(machine, { type: MEMFD_FILE, priv: shmem.ref, flags }, 'memfd_create');
    S.files.add(machine.mem, shmem.p, 1);
    return new Memfd(file);
  }

  /** The memfd that `file` is; undefined when it is something else. */
  static of(file: File): Memfd | undefined {
    return file.type === MEMFD_FILE ? new Memfd(file) : undefined;
  }

  /** A descriptor for it in the calling task's process; takes over the caller's reference. @throws KernelError EMFILE, ENOMEM */
  fd({ cloexec = false }: { cloexec?: boolean } = {}): number {
    return FdTable.current(this.file.machine).install(this.file, { cloexec });
  }

  /** Drops the caller's reference to the file. */
  put(): void {
    this.file.put();
  }

  get size(): number {
    return this.shmem.size;
  }

  /** Pages that it has. */
  get pages(): number {
    return this.shmem.pages;
  }

  /** Whether its mode lets programs execute it. @kernel MFD_NOEXEC_SEAL */
  get executable(): boolean {
    return S.executable.get(this.shmem.machine.mem, this.shmem.p) !== 0;
  }

  /** @kernel F_GET_SEALS */
  get seals(): number {
    return sealsOf(this.shmem);
  }

  /** @kernel F_ADD_SEALS @throws KernelError EPERM, EINVAL, EBUSY (writable mappings, pinned pages) */
  addSeals(seals: number): void {
    addSeals(this.file, this.shmem, seals);
  }

  /** @kernel ftruncate @throws KernelError EINVAL, EPERM (sealed) */
  truncate(size: number): void {
    truncate(this.shmem, size);
  }

  /** @kernel fallocate @throws KernelError EINVAL, EOPNOTSUPP, EFBIG, EPERM (sealed), ENOMEM */
  fallocate(mode: number, offset: number, length: number): void {
    fallocate(this.shmem, mode, offset, length);
  }

  /** Bytes at `offset`; the position stays. @kernel pread64 @throws KernelError EINVAL */
  pread(offset: number, length: number): Uint8Array {
    return readAt(this.shmem, offset, length);
  }

  /** Stores bytes at `offset`; the position stays. @kernel pwrite64 @throws KernelError EINVAL, EPERM (sealed), EFBIG, ENOMEM */
  pwrite(offset: number, bytes: Uint8Array): number {
    return writeAt(this.file, this.shmem, offset, bytes);
  }

  /** Bytes at the position, which moves on. @kernel read */
  read(length: number): Uint8Array {
    const bytes = this.pread(this.file.pos, length);
    this.file.pos += bytes.length;
    return bytes;
  }

  /** Stores bytes at the position, which moves on. @kernel write @throws as {@link pwrite} */
  write(bytes: Uint8Array): number {
    const append = (this.file.flags & OpenFlags.APPEND) !== 0;
    const at = append ? this.size : this.file.pos;
    const written = this.pwrite(at, bytes);
    this.file.pos = at + written;
    return written;
  }

  /** @kernel lseek @throws KernelError EINVAL, ENXIO (no data there) */
  seek(offset: number, whence: number): number {
    return this.file.llseek(offset, whence);
  }

  /** @kernel mmap @throws KernelError EINVAL, EPERM (sealed), ENOMEM (too few huge pages) */
  mmap(request: MmapRequest): VmArea {
    return mmapMemfd(this.file, this.shmem, request);
  }
}

function checkFlags(flags: number): void {
  const known = (flags & MemfdFlags.HUGETLB) === 0 ? KNOWN_FLAGS : KNOWN_FLAGS | (HUGE_MASK << HUGE_SHIFT);
  const both = MemfdFlags.EXEC | MemfdFlags.NOEXEC_SEAL;
  if ((flags & ~known) === 0 && (flags & both) !== both) return;
  throw new KernelError('EINVAL', 'memfd_create', `flags 0x${(flags >>> 0).toString(16)}`);
}
