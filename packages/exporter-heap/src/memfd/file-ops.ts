import { type File, type FileOps, registerFileOps, Seek } from '@dmabuf-emu/core';
import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { KernelError, type Machine } from '@dmabuf-emu/shm';
import { registerHolder } from '../memory/holders.ts';
import { prepareMemory } from '../memory/prepare.ts';
import { Shmem } from '../memory/shmem.ts';
import { ShmemStruct as S } from '../memory/shmem-struct.ts';

/** Name of the kind of file that a memfd is. */
export const MEMFD_FILE = 'memfd';

/** Positions are below it. @kernel MAX_LFS_FILESIZE */
const OFFSET_LIMIT = 2 ** 63;

const PREPARED = Symbol('exporter-heap.memfd');

/** Makes this room's code available in the calling thread, once. */
export function prepareMemfds(machine: Machine): void {
  machine.local(PREPARED, () => {
    prepareMemory(machine);
    registerFileOps(machine, memfdFileOps);
    registerHolder(machine, 'shmem', MEMFD_FILE, function* () {
      for (const ref of machine.slab(S).live()) {
        for (let n = S.files.load(machine.mem, machine.slab(S).at(ref)); n > 0; n--) yield ref;
      }
    });
    return true;
  });
}

/** How memfds behave as files. @kernel shmem_file_operations, hugetlbfs_file_operations */
const memfdFileOps: FileOps = {
  name: MEMFD_FILE,
  release(file) {
    const shmem = shmemOf(file);
    S.files.sub(file.machine.mem, shmem.p, 1);
    shmem.put();
  },
  describe: (file) => `memfd '${shmemOf(file).label}'`,
  linkText: (file) => `/memfd:${shmemOf(file).label} (deleted)`,
  llseek: seek,
};

/** The bytes behind a memfd's file. */
export function shmemOf(file: File): Shmem {
  return Shmem.of(file.machine, file.priv);
}

/** @kernel shmem_file_llseek */
function seek(file: File, offset: number, whence: number): number {
  const shmem = shmemOf(file);
  const position = target(file, shmem, offset, whence);
  if (!(position >= 0 && position < OFFSET_LIMIT)) {
    throw new KernelError('EINVAL', 'llseek', `offset ${offset} from ${whence} is position ${position}`);
  }
  file.pos = position;
  return position;
}

function target(file: File, shmem: Shmem, offset: number, whence: number): number {
  switch (whence) {
    case Seek.SET:
      return offset;
    case Seek.CUR:
      return file.pos + offset;
    case Seek.END:
      return shmem.size + offset;
    case Seek.DATA:
    case Seek.HOLE:
      return dataOrHole(shmem, offset, whence === Seek.DATA);
    default:
      return -1;
  }
}

/** The first byte at or behind `offset` that is in a page, or in a hole. A file of huge pages is all data. */
function dataOrHole(shmem: Shmem, offset: number, data: boolean): number {
  const { size } = shmem;
  const none = (): KernelError => new KernelError('ENXIO', 'llseek', `no data at or behind byte ${offset} of ${size}`);
  if (!(offset >= 0 && offset < size)) throw none();
  if (shmem.huge) return data ? offset : size;
  let index = Math.floor(offset / PAGE_SIZE);
  const present = shmem.present(index);
  if (data) {
    if (present.length === 0) throw none();
    return Math.max(offset, present[0]! * PAGE_SIZE);
  }
  for (const page of present) if (page === index) index++;
  return Math.min(size, Math.max(offset, index * PAGE_SIZE));
}
