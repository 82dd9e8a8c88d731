import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { type Machine, orUndo, refDec, refInc, type Slab } from '@dmabuf-emu/shm';
import { clearPages, ramOf } from './page-bytes.ts';
import { PageStruct as P } from './page-struct.ts';

/**
 * Takes `count` pages of RAM in a row, zeroed, with one reference on the first, and returns its ref.
 * @param align the physical address is a multiple of so many pages.
 * @kernel alloc_pages, folio_alloc
 * @throws KernelError ENOMEM
 */
export function allocPage(machine: Machine, count = 1, align = count): number {
  const slab = machine.slab(P);
  const paddr = ramOf(machine).allocPages(count, align);
  return orUndo(
    () => {
      const head = slab.alloc('alloc_pages');
      const p = slab.at(head);
      clearPages(machine, paddr, count);
      P.head.set(machine.mem, p, head);
      P.paddr.set(machine.mem, p, paddr);
      P.count.set(machine.mem, p, count);
      P.refs.store(machine.mem, p, 1);
      return head;
    },
    () => ramOf(machine).freePages(paddr, count),
  );
}

/**
 * The pages of a compound page that was just allocated, each with a ref of its own: the first is `head`.
 * @throws KernelError ENOMEM; the compound page stays as it was.
 */
export function splitPage(machine: Machine, head: number): number[] {
  const { mem } = machine;
  const slab = machine.slab(P);
  const p = slab.at(head);
  const pages = [head];
  orUndo(
    () => {
      for (let last = p; pages.length < P.count.get(mem, p);) {
        const page = slab.alloc('alloc_pages');
        P.next.set(mem, last, page);
        last = slab.at(page);
        P.head.set(mem, last, head);
        P.paddr.set(mem, last, P.paddr.get(mem, p) + pages.length * PAGE_SIZE);
        pages.push(page);
      }
    },
    () => {
      for (const page of pages.slice(1)) slab.free(page, 'free_pages');
      P.next.set(mem, p, 0);
    },
  );
  return pages;
}

/** Frees the structs of a compound page. */
function forget(machine: Machine, slab: Slab, head: number): void {
  for (let page = head; page !== 0;) {
    const next = P.next.get(machine.mem, slab.at(page));
    slab.free(page, 'free_pages');
    page = next;
  }
}

/** Takes a reference on a page: it outlives whoever had it before. @kernel folio_get */
export function getPage(machine: Machine, page: number): void {
  refInc(machine, headAt(machine, page), P.refs);
}

/** Drops a reference; with the last one the page, and its compound page, goes back to RAM. @kernel folio_put */
export function putPage(machine: Machine, page: number): void {
  const slab = machine.slab(P);
  const p = headAt(machine, page);
  if (!refDec(machine, p, P.refs)) return;
  const paddr = P.paddr.get(machine.mem, p);
  const count = P.count.get(machine.mem, p);
  forget(machine, slab, P.head.get(machine.mem, p));
  ramOf(machine).freePages(paddr, count);
}

/** Physical address of a page. @kernel page_to_phys */
export function pagePaddr(machine: Machine, page: number): number {
  return P.paddr.get(machine.mem, machine.slab(P).at(page));
}

/** References on a page. @kernel folio_ref_count */
export function pageRefs(machine: Machine, page: number): number {
  return P.refs.load(machine.mem, headAt(machine, page));
}

/** The page that counts references for `page`: itself, or the first of its compound page. @kernel compound_head */
export function headPage(machine: Machine, page: number): number {
  return P.head.get(machine.mem, machine.slab(P).at(page));
}

/** Whether it is a page of its own, or the first of a compound page. @kernel PageHead */
export function isHeadPage(machine: Machine, page: number): boolean {
  return headPage(machine, page) === page;
}

/** Pages in a row that a head page stands for. @kernel folio_nr_pages */
export function pageCount(machine: Machine, head: number): number {
  return P.count.get(machine.mem, machine.slab(P).at(head));
}

function headAt(machine: Machine, page: number): number {
  const slab = machine.slab(P);
  return slab.at(headPage(machine, page));
}
