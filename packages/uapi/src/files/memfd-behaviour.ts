import { type File, PAGE_BYTES } from '@dmabuf-emu/core';
import { HUGE_PAGES, Memfd } from '@dmabuf-emu/exporter-heap';
import { type FileBehaviour, FileKind, FsMagic } from './file-behaviour.ts';

const SECTORS_PER_PAGE = PAGE_BYTES / 512;

/** @kernel shmem_file_operations, hugetlbfs_file_operations */
export function memfdBehaviour(file: File): FileBehaviour {
  const { shmem } = memfdOf(file);
  return shmem.huge ? { ...BEHAVIOUR, magic: FsMagic.HUGETLBFS } : BEHAVIOUR;
}

const BEHAVIOUR: FileBehaviour = {
  seekable: true,
  positioned: true,
  regular: true,
  magic: FsMagic.TMPFS,
  stat: (file) => {
    const { shmem, size, pages, executable } = memfdOf(file);
    return {
      ino: shmem.ref,
      mode: FileKind.REGULAR | (executable ? 0o777 : 0o666),
      size,
      blocks: pages * SECTORS_PER_PAGE,
      blksize: shmem.huge ? HUGE_PAGES * PAGE_BYTES : PAGE_BYTES,
      nlink: 0,
    };
  },
  read: ({ file }, length, position) => memfdOf(file).pread(position, length),
  write: ({ file }, bytes, position) => memfdOf(file).pwrite(position, bytes),
  mmap: ({ file }, request) => memfdOf(file).mmap(request),
  truncate: ({ file }, length) => memfdOf(file).truncate(length),
  allocate: ({ file }, mode, offset, length) => memfdOf(file).fallocate(mode, offset, length),
  sync: () => {},
  seals: ({ file }) => memfdOf(file).seals,
  addSeals: ({ file }, seals) => memfdOf(file).addSeals(seals),
};

function memfdOf(file: File): Memfd {
  return Memfd.of(file)!;
}
