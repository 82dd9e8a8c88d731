import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import { type Machine, refDec, refInc, type Slab, UsageError } from '@dmabuf-emu/shm';
import { orUndo } from '../internal/undo.ts';
import { clearPages, ramOf } from './page-bytes.ts';
import { PageStruct as P } from './page-struct.ts';

/**
 * Takes `count` pages of RAM in a row, zeroed, with one reference on the first, and returns its ref.
 * @param count a power of two; the physical address is a multiple of as many pages.
 * @kernel alloc_pages, folio_alloc (__GFP_ZERO)
 * @throws KernelError ENOMEM
 */
export function allocPage(machine: Machine, count = 1): number {
  const slab = machine.slab(P);
  const paddr = ramOf(machine).allocPages(count, count);
  return orUndo(
    () => {
      clearPages(machine, paddr, count);
      const head = describe(machine, slab, paddr, count);
      P.refs.store(machine.mem, slab.at(head), 1);
      return head;
    },
    () => ramOf(machine).freePages(paddr, count),
  );
}

/** Page structs for `count` pages from `paddr` on; the head's ref. Nothing is left when one cannot be had. */
function describe(machine: Machine, slab: Slab, paddr: number, count: number): number {
  const { mem } = machine;
  const head = slab.alloc('alloc_pages');
  const p = slab.at(head);
  P.head.set(mem, p, head);
  P.paddr.set(mem, p, paddr);
  P.count.set(mem, p, count);
  orUndo(
    () => {
      for (let i = 1, last = p; i < count; i++) {
        const page = slab.alloc('alloc_pages');
        P.next.set(mem, last, page);
        last = slab.at(page);
        P.head.set(mem, last, head);
        P.paddr.set(mem, last, paddr + i * PAGE_SIZE);
      }
    },
    () => forget(machine, slab, head),
  );
  return head;
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

/** The pages of a compound page, in order. @throws UsageError for a page that is not the first */
export function compoundPages(machine: Machine, head: number): number[] {
  if (!isHeadPage(machine, head)) throw new UsageError('a compound page is named by its first page');
  const pages: number[] = [];
  for (let page = head; page !== 0; page = P.next.get(machine.mem, machine.slab(P).at(page))) pages.push(page);
  return pages;
}

function headAt(machine: Machine, page: number): number {
  const slab = machine.slab(P);
  return slab.at(headPage(machine, page));
}
