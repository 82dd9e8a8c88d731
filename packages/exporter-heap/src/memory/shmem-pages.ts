import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { KernelError, orUndo } from '@dmabuf-emu/shm';
import { chargeHugePage, HUGE_PAGES, unchargeHugePage } from './huge-pages.ts';
import { allocPage, isHeadPage, putPage, splitPage } from './page.ts';
import type { Shmem } from './shmem.ts';
import { ShmemStruct as S } from './shmem-struct.ts';

/** The page with that number, made if need be. @locks pagesLock held @throws KernelError EINVAL beyond the end, ENOMEM */
export function findPage(shmem: Shmem, index: number): number {
  if (!(index >= 0 && index < Math.ceil(shmem.size / PAGE_SIZE))) {
    throw new KernelError('EINVAL', 'shmem_get_folio', `page ${index} of a file of ${shmem.size} bytes`);
  }
  return shmem.tree.load(index) || addPages(shmem, index);
}

/** Makes page `index`, with its neighbours where the file is made of huge pages. @kernel shmem_alloc_folio, alloc_hugetlb_folio */
function addPages(shmem: Shmem, index: number): number {
  const { machine } = shmem;
  if (!shmem.huge) return insert(shmem, index, [allocPage(machine)])[0]!;
  chargeHugePage(machine);
  const first = Math.floor(index / HUGE_PAGES) * HUGE_PAGES;
  const pages = orUndo(
    () => insertHuge(shmem, first, allocPage(machine, HUGE_PAGES)),
    () => unchargeHugePage(machine),
  );
  return pages[index - first]!;
}

function insertHuge(shmem: Shmem, first: number, head: number): readonly number[] {
  const pages = orUndo(
    () => splitPage(shmem.machine, head),
    () => putPage(shmem.machine, head),
  );
  return insert(shmem, first, pages);
}

/** Puts the pages of a new compound page into the tree; on failure the page is gone. */
function insert(shmem: Shmem, first: number, pages: readonly number[]): readonly number[] {
  const { machine, tree } = shmem;
  let done = 0;
  orUndo(
    () => {
      for (; done < pages.length; done++) tree.insert(first + done, pages[done]!);
    },
    () => {
      while (done > 0) tree.erase(first + --done);
      putPage(machine, pages[0]!);
    },
  );
  S.pages.set(machine.mem, shmem.p, shmem.pages + pages.length);
  return pages;
}

/**
 * Gives up the pages from number `from` up to and without `end`, compound pages as a whole.
 * @locks pagesLock held, unless nobody else can have the file
 * @kernel truncate_inode_pages_range
 */
export function dropPages(shmem: Shmem, from: number, end: number): void {
  const { machine, tree } = shmem;
  const heads: number[] = [];
  let dropped = 0;
  for (const [index, page] of tree.entries(from, end)) {
    tree.erase(index);
    dropped++;
    if (isHeadPage(machine, page)) heads.push(page);
  }
  S.pages.set(machine.mem, shmem.p, shmem.pages - dropped);
  for (const page of heads) {
    if (shmem.huge) unchargeHugePage(machine);
    putPage(machine, page);
  }
}
