import type { File, MmapRequest, VmArea } from '@dmabuf-emu/core';
import type { Process } from '../process/process.ts';

/** An open file as a system call of one thread meets it. */
export interface OpenFile {
  readonly process: Process;
  readonly file: File;
  readonly fd: number;
}

/** An ioctl(2) that has found its file. */
export interface IoctlCall extends OpenFile {
  /** 32 bits, unsigned. */
  readonly command: number;
  /** 64 bits, unsigned: most often an address. */
  readonly argument: bigint;
}

/** @kernel struct stat */
export interface FileStat {
  readonly ino: number;
  /** Kind of file and permissions. */
  readonly mode: number;
  readonly size: number;
  /** Of 512 bytes. */
  readonly blocks: number;
  readonly blksize: number;
  readonly nlink: number;
}

/** How system calls treat a kind of file. What is left out is refused as Linux refuses it. @kernel file_operations */
export interface FileBehaviour {
  /** lseek(2) works. @kernel FMODE_LSEEK */
  readonly seekable?: boolean;
  /** It has positions: pread(2) and pwrite(2) are let through, read(2) and write(2) move on. @kernel FMODE_PREAD */
  readonly positioned?: boolean;
  /** Number of the file system, as statfs(2) tells it; that of anonymous inodes when left out. */
  readonly magic?: number;
  /** Mappings cannot be made executable. @kernel path_noexec */
  readonly noExec?: boolean;
  /** A regular file: ftruncate(2) and fallocate(2) go on to the operations. @kernel S_ISREG */
  readonly regular?: boolean;
  readonly stat?: (file: File) => Partial<FileStat>;
  readonly read?: (open: OpenFile, length: number, position: number) => Uint8Array;
  /** Returns how many bytes were written. */
  readonly write?: (open: OpenFile, bytes: Uint8Array, position: number) => number;
  /** Where the file's own operation of the core is not enough. */
  readonly llseek?: (open: OpenFile, offset: number, whence: number) => number;
  /** Where the file's own operation of the core is not enough. */
  readonly mmap?: (open: OpenFile, request: MmapRequest) => VmArea;
  readonly ioctl?: (call: IoctlCall) => number;
  readonly truncate?: (open: OpenFile, length: number) => void;
  readonly allocate?: (open: OpenFile, mode: number, offset: number, length: number) => void;
  readonly sync?: (open: OpenFile) => void;
  readonly seals?: (open: OpenFile) => number;
  readonly addSeals?: (open: OpenFile, seals: number) => void;
}

/** Numbers of file systems. @kernel include/uapi/linux/magic.h */
export const FsMagic = {
  DMA_BUF: 0x444d4142,
  ANON_INODE: 0x09041934,
  TMPFS: 0x01021994,
  HUGETLBFS: 0x958458f6,
  DEBUGFS: 0x64626720,
  SYSFS: 0x62656572,
  PROC: 0x9fa0,
} as const;

/** Kinds of files in a mode. @kernel S_IFMT */
export const FileKind = { CHARACTER: 0o020000, DIRECTORY: 0o040000, REGULAR: 0o100000 } as const;
