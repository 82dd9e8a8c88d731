import { DmaBuf, FdTable, type File, OpenFlags } from '@dmabuf-emu/core';
import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { isKernelError, KernelError, type Machine, orUndo } from '@dmabuf-emu/shm';
import { Memfd } from '../memfd/memfd.ts';
import { Seal } from '../memfd/flags.ts';
import { putPage } from '../memory/page.ts';
import { PageList } from '../memory/page-list.ts';
import { checkCount, checkItems, type UdmabufItem } from './check-request.ts';
import { udmabufDriver } from './exporter-ops.ts';
import { prepareUdmabuf } from './prepare.ts';
import { UdmabufStruct as U } from './udmabuf-struct.ts';

/** Bit of `flags`: close-on-exec. No other bit is looked at. */
export const UDMABUF_FLAGS_CLOEXEC = 1;

/** The argument of {@link createUdmabufList}. @kernel struct udmabuf_create_list */
export interface UdmabufListRequest {
  readonly flags: number;
  /** How many items there are said to be: looked at before the items. */
  readonly count: number;
  readonly items: () => readonly UdmabufItem[];
}

const SITE = 'udmabuf_create';

/**
 * A buffer over part of a memfd, as a descriptor of the calling task's process.
 * @kernel UDMABUF_CREATE
 * @throws KernelError EINVAL (offset or size no whole pages, size 0 or above the limit), EBADFD (no memfd), EINVAL (seals;
 * beyond the end), ENOMEM, ENFILE, EMFILE
 */
export function createUdmabuf(machine: Machine, item: UdmabufItem & { readonly flags?: number }): number {
  return withFd(exportUdmabuf(machine, [item]), item.flags ?? 0);
}

/** Like {@link createUdmabuf}, over parts of memfds one behind the other. @kernel UDMABUF_CREATE_LIST @throws KernelError EINVAL (too many items), and as there */
export function createUdmabufList(machine: Machine, { flags, count, items }: UdmabufListRequest): number {
  prepareUdmabuf(machine);
  checkCount(machine, count);
  return withFd(exportUdmabuf(machine, items()), flags);
}

/** The buffer alone, without a descriptor; the caller owns its one reference. @kernel udmabuf_create @throws as {@link createUdmabuf} */
export function exportUdmabuf(machine: Machine, items: readonly UdmabufItem[]): DmaBuf {
  prepareUdmabuf(machine);
  const slab = machine.slab(U);
  const ref = slab.alloc(SITE);
  return orUndo(
    () => {
      U.ownerTask.set(machine.mem, slab.at(ref), machine.tid);
      checkItems(machine, items);
      const pages = PageList.create(machine);
      U.pages.set(machine.mem, slab.at(ref), pages.ref);
      return orUndo(
        () => {
          for (const item of items) addItem(machine, pages, item);
          return exportPages(machine, ref, pages);
        },
        () => pages.free(),
      );
    },
    () => slab.free(ref, SITE),
  );
}

function exportPages(machine: Machine, ref: number, pages: PageList): DmaBuf {
  const size = pages.count * PAGE_SIZE;
  const dmabuf = DmaBuf.export(machine, { ops: udmabufDriver, priv: ref, size, flags: OpenFlags.RDWR });
  U.dmabuf.set(machine.mem, machine.slab(U).at(ref), dmabuf.ref);
  return dmabuf;
}

/** Pins the pages of one item: what the memfd does with them later does not matter. @locks takes the memfd's inode_lock for reading */
function addItem(machine: Machine, pages: PageList, { memfd: fd, offset, size }: UdmabufItem): void {
  const file = getFile(machine, fd);
  orUndo(
    () => pinItem(pages, Memfd.of(file), fd, BigInt(offset), BigInt(size)),
    () => file.put(),
  );
  file.put();
}

function pinItem(pages: PageList, memfd: Memfd | undefined, fd: number, start: bigint, size: bigint): void {
  if (memfd === undefined) throw new KernelError('EBADFD', SITE, `descriptor ${fd} is no memfd`);
  memfd.shmem.inodeLock.read(() => {
    checkMemfdSeals(memfd.seals);
    const end = start + size;
    if (start >= 2n ** 63n || size === 0n || end > BigInt(memfd.size)) {
      throw new KernelError('EINVAL', 'memfd_pin_folios', `bytes ${start} to ${end} of a file of ${memfd.size}`);
    }
    for (let page = Number(start) / PAGE_SIZE; page < Number(end) / PAGE_SIZE; page++) pin(pages, memfd, page);
  });
}

function getFile(machine: Machine, fd: number): File {
  try {
    return FdTable.current(machine).get(fd | 0);
  } catch (error) {
    if (!isKernelError(error, 'EBADF')) throw error;
    throw new KernelError('EBADFD', SITE, error.message);
  }
}

/** @kernel check_memfd_seals @throws KernelError EINVAL */
function checkMemfdSeals(seals: number): void {
  const denied = Seal.WRITE | Seal.FUTURE_WRITE;
  if ((seals & Seal.SHRINK) !== 0 && (seals & denied) === 0) return;
  throw new KernelError(
    'EINVAL',
    'check_memfd_seals',
    `seals ${seals}: SHRINK must be set, WRITE and FUTURE_WRITE not`,
  );
}

/** The page goes to the list with its reference. */
function pin(pages: PageList, memfd: Memfd, index: number): void {
  const page = memfd.shmem.pin(index);
  orUndo(
    () => pages.push(page),
    () => putPage(memfd.shmem.machine, page),
  );
}

function withFd(dmabuf: DmaBuf, flags: number): number {
  return orUndo(
    () => dmabuf.fd((flags & UDMABUF_FLAGS_CLOEXEC) !== 0 ? OpenFlags.CLOEXEC : 0),
    () => dmabuf.put(),
  );
}
